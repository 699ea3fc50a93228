"""A request to `/v1/responses` as a chat request."""

from typing import Any

from serve_apps.gateway.dialects.reading import Json, a_string, an_object, objects, picked, refuse, unsupported
from serve_apps.gateway.dialects.responses_items import messages_of
from serve_apps.gateway.errors import invalid_value

SAME = (
    "model", "temperature", "top_p", "parallel_tool_calls", "user", "service_tier", "prompt_cache_key",
    "safety_identifier",
)  # fmt: skip
UNSAYABLE = ("previous_response_id", "conversation", "prompt", "background", "top_logprobs", "context_management")


def responses_chat_request(request: Json) -> Json:
    """A stream is asked for its usage, which responses always tell. `store` is accepted and ignored: the answer says
    that nothing was stored.

    Raises ApiError 400 naming the parameter for what was stored before, for tools that run at OpenAI, and for what a
    chat cannot do. Dropped is what changes no answer (`include`, `stream_options`, `max_tool_calls`,
    `metadata`, which the response repeats) and every field
    that is not known.
    """
    refuse(request, UNSAYABLE, "is not supported here")
    if request.get("truncation") not in (None, "disabled"):
        raise unsupported("truncation", "must be disabled")
    messages = messages_of(request.get("input"))
    if request.get("instructions") is not None:
        instructions = a_string(request["instructions"], "instructions")
        messages.insert(0, {"role": "system", "content": instructions})
    found = picked(request, SAME) | {"messages": messages} | _text(request) | _tools(request)
    if request.get("max_output_tokens") is not None:
        found["max_completion_tokens"] = request["max_output_tokens"]
    effort = an_object(request.get("reasoning") or {}, "reasoning").get("effort")
    if effort is not None:
        found["reasoning_effort"] = a_string(effort, "reasoning.effort")
    if request.get("stream"):
        found |= {"stream": True, "stream_options": {"include_usage": True}}
    return found


def _text(request: Json) -> Json:
    text = an_object(request.get("text") or {}, "text")
    found = picked(text, ("verbosity",))
    if text.get("format") is not None:
        output_format = an_object(text["format"], "text.format")
        match output_format.get("type"):
            case "json_schema":
                schema = picked(output_format, ("name", "description", "schema", "strict"))
                found["response_format"] = {"type": "json_schema", "json_schema": schema}
            case "text" | "json_object" as kind:
                found["response_format"] = {"type": kind}
            case kind:
                raise invalid_value("text.format.type", "text, json_schema or json_object", kind)
    return found


def _tools(request: Json) -> Json:
    tools = [_tool(tool, param) for param, tool in objects(request.get("tools") or [], "tools")]
    if not tools:
        return {}
    choice = request.get("tool_choice")
    return {"tools": tools} | ({"tool_choice": _choice(choice)} if choice is not None else {})


def _tool(tool: Json, param: str) -> Json:
    if tool.get("type") != "function":
        raise unsupported(f"{param}.type", "must be function: other tools run at OpenAI only")
    name = a_string(tool.get("name"), f"{param}.name")
    return {"type": "function", "function": {"name": name} | picked(tool, ("description", "parameters", "strict"))}


def _choice(choice: Any) -> str | Json:
    if isinstance(choice, str):
        return choice
    if an_object(choice, "tool_choice").get("type") != "function":
        raise unsupported("tool_choice.type", "must be function")
    return {"type": "function", "function": {"name": a_string(choice.get("name"), "tool_choice.name")}}
