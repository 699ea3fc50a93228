"""Why a model stopped, in both dialects."""

from typing import Any

from serve_apps.gateway.dialects.reading import Json

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # of tools that run at Anthropic, which no chat request can ask for
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def anthropic_stop(finish_reason: Any, matched: Any, *, called: bool, refused: bool) -> Json:
    """`stop_reason` and `stop_sequence`. `matched` is vLLM's `stop_reason`: the stop string, or a token's id, or null.

    Who forces a tool is told "stop" by OpenAI; a client of Anthropic's runs the tool only on "tool_use".
    """
    if refused:
        return {"stop_reason": "refusal", "stop_sequence": None}
    if finish_reason == "stop" and called:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if finish_reason == "stop" and isinstance(matched, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": matched}
    return {"stop_reason": STOP_REASONS.get(finish_reason, "end_turn"), "stop_sequence": None}
