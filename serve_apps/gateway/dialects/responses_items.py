"""The input of `/v1/responses` as the messages of a chat, and the thoughts that both carry."""

import json
from typing import Any

from serve_apps.gateway.dialects.parts import plain, text_part
from serve_apps.gateway.dialects.reading import Json, a_string, objects, picked, unsupported
from serve_apps.gateway.dialects.thinking import is_thought
from serve_apps.gateway.dialects.tools import tool_call
from serve_apps.gateway.errors import invalid_value


def messages_of(value: Any) -> list[Json]:
    """Neighbouring items of the model (thoughts, text, calls) are one message of the assistant's, as they were."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    messages: list[Json] = []
    for param, item in objects(value, "input"):
        match item.get("type", "message"):
            case "message" if item.get("role") == "assistant":
                _assistant(messages)["content"] += _parts(item.get("content"), f"{param}.content")
            case "message":
                messages.append(_message(item, param))
            case "function_call":
                _assistant(messages).setdefault("tool_calls", []).append(_call(item, param))
            case "function_call_output":
                messages.append(_result(item, param))
            case "reasoning":
                _think(_assistant(messages), item, param)
            case _:
                raise unsupported(f"{param}.type", "must be message, function_call, function_call_output or reasoning")
    return [_whole(message) for message in messages]


def sealed(blocks: list[Json]) -> str:
    """Thoughts as the `encrypted_content` of a reasoning item, which clients send back as it is."""
    return json.dumps(blocks, separators=(",", ":"))


def _assistant(messages: list[Json]) -> Json:
    """The message of the assistant's that is being put together, its content a list of parts."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": []})
    return messages[-1]


def _whole(message: Json) -> Json:
    if message["role"] != "assistant":
        return message
    parts = message["content"]
    return message | {"content": plain(parts) if parts or "tool_calls" not in message else None}


def _message(item: Json, param: str) -> Json:
    role = item.get("role")
    if role not in ("user", "system", "developer"):
        raise invalid_value(f"{param}.role", "user, assistant, system or developer", role)
    return {"role": role, "content": plain(_parts(item.get("content"), f"{param}.content"))}


def _parts(content: Any, param: str) -> list[Json]:
    if isinstance(content, str):
        return [text_part(content)]
    return [_part(part, name) for name, part in objects(content, param)]


def _part(part: Json, param: str) -> Json:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return text_part(a_string(part.get("text"), f"{param}.text"))
        case "refusal":
            return {"type": "refusal", "refusal": a_string(part.get("refusal"), f"{param}.refusal")}
        case "input_image":
            if part.get("image_url") is None:
                raise unsupported(param, "must have an image_url: nothing is stored here")
            url = a_string(part["image_url"], f"{param}.image_url")
            return {"type": "image_url", "image_url": {"url": url} | picked(part, ("detail",))}
        case "input_file":
            if part.get("file_data") is None:
                raise unsupported(param, "must have file_data: nothing is stored here")
            data = a_string(part["file_data"], f"{param}.file_data")
            return {"type": "file", "file": {"file_data": data} | picked(part, ("filename",))}
    raise unsupported(f"{param}.type", "must be input_text, output_text, refusal, input_image or input_file")


def _call(item: Json, param: str) -> Json:
    call_id, name = a_string(item.get("call_id"), f"{param}.call_id"), a_string(item.get("name"), f"{param}.name")
    return tool_call(call_id, name, a_string(item.get("arguments"), f"{param}.arguments"))


def _result(item: Json, param: str) -> Json:
    call_id = a_string(item.get("call_id"), f"{param}.call_id")
    parts = _parts(item.get("output"), f"{param}.output")
    if any(part["type"] != "text" for part in parts):
        raise unsupported(f"{param}.output", "must be text")
    return {"role": "tool", "tool_call_id": call_id, "content": plain(parts)}


def _think(said: Json, item: Json, param: str) -> None:
    """Adds the text, from the content or else the summary, and the blocks that `sealed` put in. What another provider
    encrypted says nothing here and is left out.
    """
    name = "content" if item.get("content") else "summary"
    thoughts = objects(item.get(name) or [], f"{param}.{name}")
    text = "".join(a_string(part.get("text"), f"{at}.text") for at, part in thoughts)
    said["reasoning_content"] = said.get("reasoning_content", "") + text
    blocks = _unsealed(item.get("encrypted_content"))
    if blocks:
        said["thinking_blocks"] = said.get("thinking_blocks", []) + blocks


def _unsealed(content: Any) -> list[Json]:
    try:
        blocks = json.loads(content)
    except (TypeError, ValueError, RecursionError):
        return []
    found = blocks if isinstance(blocks, list) else []
    return [block for block in found if isinstance(block, dict) and is_thought(block)]
