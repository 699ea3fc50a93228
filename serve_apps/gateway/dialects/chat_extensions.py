"""What the chat form has here beyond OpenAI's own: thoughts, cache marks, errors of tools, `top_k`.

vLLM and its like know these names or pass them over. OpenAI itself refuses a request that has them.
"""

from serve_apps.gateway.dialects.reading import Json

IN_REQUEST = frozenset({"top_k"})
IN_MESSAGE = frozenset({"reasoning_content", "thinking_blocks", "is_error", "cache_control"})
IN_PART = frozenset({"cache_control"})


def without_extensions(chat: Json) -> Json:
    """A copy, of a chat request that another dialect was translated into, for OpenAI itself."""
    found = _less(chat, IN_REQUEST) | {"messages": [_message(message) for message in chat["messages"]]}
    if "tools" in chat:
        found["tools"] = [_less(tool, IN_PART) for tool in chat["tools"]]
    return found


def _message(message: Json) -> Json:
    found = _less(message, IN_MESSAGE)
    for name in ("content", "tool_calls"):
        if isinstance(found.get(name), list):
            found[name] = [_less(part, IN_PART) for part in found[name]]
    return found


def _less(document: Json, names: frozenset[str]) -> Json:
    return {name: value for name, value in document.items() if name not in names}
