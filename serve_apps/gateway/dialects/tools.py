"""Tools that the model may call, its calls and their arguments, between the chat form and Anthropic's."""

import json
import re
from typing import Any

from serve_apps.gateway.dialects.reading import Json, a_string, an_object, objects, picked, unsupported
from serve_apps.gateway.errors import invalid_value

INVALID_JSON = "INVALID_JSON"
"""Anthropic's documented way to show a model the arguments that it failed to write as JSON."""
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
KINDS = {kind: choice for choice, kind in CHOICES.items()}
NO_PARAMETERS = {"type": "object", "properties": {}}
_foreign = re.compile(r"[^a-zA-Z0-9_-]")


def anthropic_tools(chat: Json) -> Json:
    """`tools` and `tool_choice` of Anthropic's request, each where there is something to say."""
    tools = [_anthropic_tool(tool, param) for param, tool in objects(chat.get("tools") or [], "tools")]
    if not tools:
        return {}
    choice = _anthropic_choice(chat.get("tool_choice"))
    if chat.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {"type": "auto"} | choice | {"disable_parallel_tool_use": True}
    return {"tools": tools} | ({"tool_choice": choice} if choice else {})


def chat_tools(request: Json) -> Json:
    """`tools`, `tool_choice` and `parallel_tool_calls` of the chat request, each where there is something to say."""
    tools = [_chat_tool(tool, param) for param, tool in objects(request.get("tools") or [], "tools")]
    if not tools:
        return {}
    found: Json = {"tools": tools}
    if request.get("tool_choice") is not None:
        choice = an_object(request["tool_choice"], "tool_choice")
        found["tool_choice"] = _chat_choice(choice)
        if choice.get("disable_parallel_tool_use"):
            found["parallel_tool_calls"] = False
    return found


def tool_use_of(call: Json, param: str) -> Json:
    """A call in a chat message that a client sends back, as Anthropic's block."""
    if call.get("type", "function") != "function":
        raise unsupported(f"{param}.type", "must be function")
    function = an_object(call.get("function"), f"{param}.function")
    name = a_string(function.get("name"), f"{param}.function.name")
    arguments = a_string(function.get("arguments"), f"{param}.function.arguments")
    return tool_use(a_string(call.get("id"), f"{param}.id"), name, arguments) | picked(call, ("cache_control",))


def tool_use(call_id: str, name: str, arguments: str) -> Json:
    return {"type": "tool_use", "id": anthropic_id(call_id), "name": name, "input": parsed(arguments)}


def tool_call(call_id: str, name: str, arguments: str) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def anthropic_id(call_id: str) -> str:
    """Anthropic takes letters, digits, `_` and `-`; others' ids have dots and colons. What differs stays different."""
    return _foreign.sub(lambda found: f"_{ord(found.group()):x}_", call_id) or "_"


def parsed(arguments: str) -> Json:
    """Arguments as the model wrote them, as an object: nothing is the empty one."""
    if not arguments.strip():
        return {}
    try:
        found = json.loads(arguments, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {INVALID_JSON: arguments}


def written(arguments: Json) -> str:
    """As JSON that a model reads: characters as they are."""
    return json.dumps(arguments, ensure_ascii=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _anthropic_tool(tool: Json, param: str) -> Json:
    if tool.get("type") != "function":
        raise unsupported(f"{param}.type", "must be function for the model that was asked for")
    function = an_object(tool.get("function"), f"{param}.function")
    schema = an_object(function.get("parameters") or NO_PARAMETERS, f"{param}.function.parameters")
    named = {"name": a_string(function.get("name"), f"{param}.function.name"), "input_schema": schema}
    return named | picked(function, ("description", "strict")) | picked(tool, ("cache_control",))


def _chat_tool(tool: Json, param: str) -> Json:
    if tool.get("type") not in (None, "custom"):
        raise unsupported(
            f"{param}.type", "runs at Anthropic only and cannot be used with the model that was asked for"
        )
    schema = an_object(tool.get("input_schema"), f"{param}.input_schema")
    named = {"name": a_string(tool.get("name"), f"{param}.name"), "parameters": schema}
    return {"type": "function", "function": named | picked(tool, ("description", "strict"))} | picked(
        tool, ("cache_control",)
    )


def _anthropic_choice(choice: Any) -> Json:
    """Empty where nothing was said: both dialects then leave the choice to the model."""
    if choice is None:
        return {}
    if isinstance(choice, str):
        if choice not in CHOICES:
            raise invalid_value("tool_choice", "none, auto, required or an object", choice)
        return {"type": CHOICES[choice]}
    if an_object(choice, "tool_choice").get("type") != "function":
        raise unsupported("tool_choice.type", "must be function for the model that was asked for")
    function = an_object(choice.get("function"), "tool_choice.function")
    return {"type": "tool", "name": a_string(function.get("name"), "tool_choice.function.name")}


def _chat_choice(choice: Json) -> str | Json:
    kind = a_string(choice.get("type"), "tool_choice.type")
    if kind == "tool":
        return {"type": "function", "function": {"name": a_string(choice.get("name"), "tool_choice.name")}}
    if kind not in KINDS:
        raise invalid_value("tool_choice.type", "auto, any, tool or none", kind)
    return KINDS[kind]
