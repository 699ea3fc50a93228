"""An answer of Anthropic's as a chat completion."""

from typing import Any

from serve_apps.gateway.dialects.reading import Json, said_fields
from serve_apps.gateway.dialects.reasons import FINISH_REASONS
from serve_apps.gateway.dialects.thinking import thoughts_of
from serve_apps.gateway.dialects.tools import tool_call, written
from serve_apps.gateway.dialects.usage import Usage

TIERS = {"standard": "default", "priority": "priority"}


def chat_response(message: Json, created: int) -> Json:
    """`created` in seconds since 1970. Citations and blocks of server tools, which nobody can have asked for, are
    dropped. Raises ValueError where it is not a message of Anthropic's.
    """
    try:
        blocks = message["content"]
        calls = [
            tool_call(block["id"], block["name"], written(block["input"]))
            for block in blocks
            if block["type"] == "tool_use"
        ]
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        said: Json = {"role": "assistant", "content": text or None, "refusal": explanation(message)}
        choice = {
            "index": 0,
            "message": said | thoughts_of(blocks) | ({"tool_calls": calls} if calls else {}),
            "logprobs": None,
            "finish_reason": FINISH_REASONS.get(message["stop_reason"], "stop"),
        }
        return {
            "id": message["id"],
            "object": "chat.completion",
            "created": created,
            "model": message["model"],
            "choices": [choice | matched(message)],
            "usage": Usage.of_anthropic(message.get("usage")).for_chat(),
        } | chat_tier(message.get("usage"))
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not a message of Anthropic's: {error!r}") from None


def explanation(stopped: Json) -> str | None:
    """What Anthropic says of a refusal; `stopped` is a message or the delta of `message_delta`."""
    told = (stopped.get("stop_details") or {}).get("explanation")
    return told if isinstance(told, str) else None


def matched(stopped: Json) -> Json:
    """The stop string that ended the answer, where vLLM tells it."""
    sequence = stopped.get("stop_sequence")
    return {"stop_reason": sequence} if isinstance(sequence, str) else {}


def chat_tier(usage: Any) -> Json:
    told = said_fields(usage).get("service_tier")
    tier = TIERS.get(told) if isinstance(told, str) else None
    return {"service_tier": tier} if tier else {}
