"""The messages of a chat as Anthropic's system prompt and turns."""

from typing import Any

from serve_apps.gateway.dialects.blocks import blocks_of
from serve_apps.gateway.dialects.reading import Json, a_string, objects, picked, unsupported
from serve_apps.gateway.dialects.thinking import signed
from serve_apps.gateway.dialects.tools import anthropic_id, tool_use_of
from serve_apps.gateway.errors import invalid_value


def turns_of(messages: Any) -> tuple[list[Json], list[Json]]:
    """The blocks of the system prompt, and turns of users and assistants that alternate: neighbours of the same role
    are merged, results of parallel calls among them, and messages that say nothing are left out.

    System and developer messages all go to the system prompt, in their order, wherever they stood: not every model
    of Anthropic's takes them between turns.
    """
    system: list[Json] = []
    turns: list[Json] = []
    for param, message in objects(messages, "messages"):
        role = message.get("role")
        if role in ("system", "developer"):
            system += _texts(message, param)
            continue
        match role:
            case "user":
                blocks = blocks_of(message.get("content"), f"{param}.content")
            case "tool":
                blocks = [_result(message, param)]
            case "assistant":
                blocks = _said(message, param)
            case _:
                raise invalid_value(f"{param}.role", "system, developer, user, assistant or tool", role)
        speaker = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    if not turns:
        raise unsupported("messages", "must have a message of a user that says something")
    return system, turns


def _texts(message: Json, param: str) -> list[Json]:
    blocks = blocks_of(message.get("content"), f"{param}.content")
    if any(block["type"] != "text" for block in blocks):
        raise unsupported(f"{param}.content", "must be text")
    return blocks


def _result(message: Json, param: str) -> Json:
    call_id = a_string(message.get("tool_call_id"), f"{param}.tool_call_id")
    found: Json = {"type": "tool_result", "tool_use_id": anthropic_id(call_id)}
    blocks = blocks_of(message.get("content"), f"{param}.content")
    if blocks:
        found["content"] = blocks
    return found | picked(message, ("is_error", "cache_control"))


def _said(message: Json, param: str) -> list[Json]:
    """Thoughts come first: Anthropic demands it."""
    for unsayable in ("audio", "function_call"):
        if message.get(unsayable):
            raise unsupported(f"{param}.{unsayable}", "cannot be said to the model that was asked for")
    blocks = signed(message.get("thinking_blocks"), f"{param}.thinking_blocks")
    blocks += blocks_of(message.get("content"), f"{param}.content")
    blocks += blocks_of(message.get("refusal"), f"{param}.refusal")
    name = f"{param}.tool_calls"
    return blocks + [tool_use_of(call, at) for at, call in objects(message.get("tool_calls") or [], name)]
