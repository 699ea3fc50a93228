"""What the chat form has here beyond OpenAI's own: thoughts, cache marks, errors of tools, `top_k`.

vLLM and its like know these names or pass them over. OpenAI itself refuses a request that has them.
"""

import re
from typing import Any

from serve_apps.gateway.dialects.reading import Json

IN_REQUEST = frozenset({"top_k"})
IN_MESSAGE = frozenset({"reasoning_content", "thinking_blocks", "is_error", "cache_control"})
IN_PART = frozenset({"cache_control"})
_NAMES = re.compile(b'"(?:%b)"' % "|".join(sorted(IN_REQUEST | IN_MESSAGE | IN_PART)).encode())


def may_have_extensions(raw: bytes) -> bool:
    """Whether one of the names is somewhere in a chat: to look for them there costs a fifth of a copy."""
    return _NAMES.search(raw) is not None


def without_extensions(chat: Json) -> Json:
    """A copy for OpenAI itself. What is no message, part or tool stays as it is: who is asked says what is wrong."""
    found: Json = _less(chat, IN_REQUEST)
    for name, one_of in (("messages", _message), ("tools", _part)):
        if isinstance(found.get(name), list):
            found[name] = [one_of(one) for one in found[name]]
    return found


def _message(message: Any) -> Any:
    found = _less(message, IN_MESSAGE)
    for name in ("content", "tool_calls"):
        if isinstance(found, dict) and isinstance(found.get(name), list):
            found[name] = [_part(part) for part in found[name]]
    return found


def _part(part: Any) -> Any:
    return _less(part, IN_PART)


def _less(value: Any, names: frozenset[str]) -> Any:
    return {name: one for name, one in value.items() if name not in names} if isinstance(value, dict) else value
