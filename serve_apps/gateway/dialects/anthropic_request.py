"""A chat request as one to Anthropic's `/v1/messages`."""

from typing import Any

from serve_apps.gateway.dialects.parts import plain
from serve_apps.gateway.dialects.reading import (
    Json,
    a_number,
    a_string,
    an_array,
    an_object,
    picked,
    refuse,
    unsupported,
)
from serve_apps.gateway.dialects.thinking import anthropic_thinking
from serve_apps.gateway.dialects.tools import anthropic_tools
from serve_apps.gateway.dialects.turns import turns_of

SAME = ("model", "top_p", "top_k", "stream", "cache_control", "inference_geo", "speed")
"""Called the same by both, or Anthropic's own, which a client of OpenAI's adds as extra fields."""
UNSAYABLE = (
    "logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty", "audio", "prediction",
    "web_search_options", "functions", "function_call",
)  # fmt: skip
TIERS = {"auto": "auto", "priority": "auto", "fast": "auto", "default": "standard_only", "flex": "standard_only"}


def anthropic_request(chat: Json, default_max_tokens: int) -> Json:
    """`default_max_tokens` where the client set no bound: Anthropic demands one.

    Raises ApiError 400 naming the parameter where the request asks for what Anthropic's API cannot do. Dropped is what
    it does not know and what changes no answer: `seed` (a best effort), `store`, `metadata`, `verbosity`,
    `prompt_cache_key`, `stream_options`, a message's `name`, an image's `detail`, and every field unknown to both.
    """
    refuse(chat, UNSAYABLE, "cannot be used with the model that was asked for")
    if chat.get("n") not in (None, 1):
        raise unsupported("n", "must be 1 for the model that was asked for")
    if chat.get("modalities") not in (None, ["text"]):
        raise unsupported("modalities", "must be text for the model that was asked for")
    system, turns = turns_of(chat.get("messages"))
    bounds = picked(chat, ("max_tokens", "max_completion_tokens"))
    found = picked(chat, SAME) | {
        "max_tokens": a_number(list(bounds.values())[-1], list(bounds)[-1]) if bounds else default_max_tokens,
        "messages": [turn | {"content": plain(turn["content"])} for turn in turns],
    }
    if system:
        found["system"] = plain(system)
    user = chat.get("user") or chat.get("safety_identifier")
    if user:
        found["metadata"] = {"user_id": a_string(user, "user")}
    return found | _sampling(chat) | _output(chat) | anthropic_tools(chat)


def _sampling(chat: Json) -> Json:
    found: Json = {}
    if chat.get("temperature") is not None:
        found["temperature"] = a_number(chat["temperature"], "temperature")
        if found["temperature"] > 1:
            raise unsupported("temperature", "must be at most 1 for the model that was asked for")
    stop = chat.get("stop")
    if stop:
        stops = [stop] if isinstance(stop, str) else an_array(stop, "stop")
        found["stop_sequences"] = [a_string(text, f"stop[{index}]") for index, text in enumerate(stops)]
    tier = chat.get("service_tier")
    if isinstance(tier, str) and tier in TIERS:
        found["service_tier"] = TIERS[tier]
    return found


def _output(chat: Json) -> Json:
    found = anthropic_thinking(chat)
    config = picked(found, ("effort",)) | _format(chat.get("response_format"))
    return picked(found, ("thinking",)) | ({"output_config": config} if config else {})


def _format(response_format: Any) -> Json:
    if response_format is None:
        return {}
    match an_object(response_format, "response_format").get("type"):
        case "text":
            return {}
        case "json_schema":
            name = "response_format.json_schema"
            schema = an_object(an_object(response_format.get("json_schema"), name).get("schema"), f"{name}.schema")
            return {"format": {"type": "json_schema", "schema": schema}}
    raise unsupported("response_format.type", "must be text or json_schema for the model that was asked for")
