"""A chat completion as an answer of Anthropic's."""

from serve_apps.gateway.dialects.blocks import text_block
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.reasons import anthropic_stop
from serve_apps.gateway.dialects.tools import tool_use
from serve_apps.gateway.dialects.usage import Usage

TIERS = {"default": "standard", "priority": "priority"}


def anthropic_response(completion: Json) -> Json:
    """Of the first choice: Anthropic's requests ask for one. A refusal is text that ends in a refusal.

    Thoughts of backends that sign none have an empty signature, by which they are known when they come back.
    Raises ValueError where it is not a chat completion.
    """
    try:
        choice = completion["choices"][0]
        said = choice["message"]
        calls = said.get("tool_calls") or []
        refusal = said.get("refusal")
        text = (said.get("content") or "") + (refusal or "")
        stop = anthropic_stop(
            choice["finish_reason"], choice.get("stop_reason"), called=bool(calls), refused=bool(refusal)
        )
        return {
            "id": completion["id"],
            "type": "message",
            "role": "assistant",
            "model": completion["model"],
            "content": _thoughts(said) + ([text_block(text)] if text else []) + [_tool_use(call) for call in calls],
            **stop,
            "usage": Usage.of_chat(completion.get("usage")).for_anthropic() | anthropic_tier(completion),
        }
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"not a chat completion: {error!r}") from None


def anthropic_tier(answer: Json) -> Json:
    """For the usage, where Anthropic tells it; `answer` is a completion or a chunk of one."""
    tier = TIERS.get(answer.get("service_tier"))  # type: ignore[arg-type]
    return {"service_tier": tier} if tier else {}


def _thoughts(said: Json) -> list[Json]:
    if said.get("thinking_blocks"):
        return list(said["thinking_blocks"])
    text = said.get("reasoning_content") or said.get("reasoning")  # vLLM's name
    return [{"type": "thinking", "thinking": text, "signature": ""}] if text else []


def _tool_use(call: Json) -> Json:
    return tool_use(call["id"], call["function"]["name"], call["function"]["arguments"])
