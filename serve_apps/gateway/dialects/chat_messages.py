"""Anthropic's system prompt and turns as the messages of a chat."""

from serve_apps.gateway.dialects.parts import parts_of, parts_of_block, plain
from serve_apps.gateway.dialects.reading import Json, a_string, an_object, objects, picked, unsupported
from serve_apps.gateway.dialects.thinking import is_thought, thoughts_of
from serve_apps.gateway.dialects.tools import tool_call, written
from serve_apps.gateway.errors import invalid_value


def chat_messages(request: Json) -> list[Json]:
    """A user's turn becomes a message for each tool result, which the chat form demands first, then one of the rest.

    Text is all that a chat's tool result can be: its images and documents go into the message that follows.
    """
    found: list[Json] = []
    if request.get("system"):
        found.append({"role": "system", "content": plain(parts_of(request["system"], "system"))})
    for param, message in objects(request.get("messages"), "messages"):
        match message.get("role"):
            case "user":
                found += _user(message, param)
            case "assistant":
                found.append(_assistant(message, param))
            case "system":
                found.append({"role": "system", "content": plain(parts_of(message.get("content"), f"{param}.content"))})
            case role:
                raise invalid_value(f"{param}.role", "user, assistant or system", role)
    return found


def _user(message: Json, param: str) -> list[Json]:
    if isinstance(message.get("content"), str):
        return [{"role": "user", "content": message["content"]}]
    results: list[Json] = []
    seen: list[Json] = []
    parts: list[Json] = []
    for name, block in objects(message.get("content"), f"{param}.content"):
        if block.get("type") != "tool_result":
            parts += parts_of_block(block, name)
            continue
        shown = parts_of(block.get("content") or [], f"{name}.content")
        call_id = a_string(block.get("tool_use_id"), f"{name}.tool_use_id")
        text = plain([part for part in shown if part["type"] == "text"])
        results.append({"role": "tool", "tool_call_id": call_id, "content": text} | picked(block, ("cache_control",)))
        if block.get("is_error"):
            results[-1]["is_error"] = True
        seen += [part for part in shown if part["type"] != "text"]
    rest = seen + parts
    return [*results, {"role": "user", "content": plain(rest)}] if rest or not results else results


def _assistant(message: Json, param: str) -> Json:
    if isinstance(message.get("content"), str):
        return {"role": "assistant", "content": message["content"]}
    thoughts: list[Json] = []
    parts: list[Json] = []
    calls: list[Json] = []
    for name, block in objects(message.get("content"), f"{param}.content"):
        if is_thought(block):
            thoughts.append(block)
        elif block.get("type") == "tool_use":
            calls.append(_call(block, name))
        else:
            parts += parts_of_block(block, name)
    found = {"role": "assistant", "content": plain(parts) if parts or not calls else None} | thoughts_of(thoughts)
    return found | ({"tool_calls": calls} if calls else {})


def _call(block: Json, param: str) -> Json:
    arguments = an_object(block.get("input"), f"{param}.input")
    call_id, name = a_string(block.get("id"), f"{param}.id"), a_string(block.get("name"), f"{param}.name")
    try:
        return tool_call(call_id, name, written(arguments)) | picked(block, ("cache_control",))
    except RecursionError:
        raise unsupported(f"{param}.input", "is nested too deep") from None
