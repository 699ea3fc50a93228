"""How much a model shall think, and what it thought, between the chat form and Anthropic's.

Thoughts stand in a chat message as text in `reasoning_content` and, with the signatures without which Anthropic takes
none back, in `thinking_blocks`.
"""

from typing import Any

from serve_apps.gateway.dialects.reading import Json, a_number, a_string, an_object, objects, picked

BUDGETS = ((4096, "low"), (16384, "medium"))
"""Tokens of thinking below which a budget is said as an effort; the rest is high. Neither API documents a relation."""

SIGNED = {"thinking": ("signature", "thinking"), "redacted_thinking": ("data",)}
"""What each kind of thought consists of, first the proof that Anthropic had it."""


def anthropic_thinking(chat: Json) -> Json:
    """`thinking` and the `effort` of `output_config`. A client that names Anthropic's `thinking` itself has its way.

    Thinking is not asked for where a tool is forced: Anthropic refuses both together.
    """
    effort = chat.get("reasoning_effort")
    found: Json = {}
    if effort is not None and a_string(effort, "reasoning_effort") != "none":
        found["effort"] = "low" if effort == "minimal" else effort
    if chat.get("thinking") is not None:
        found["thinking"] = an_object(chat["thinking"], "thinking")
    elif effort == "none":
        found["thinking"] = {"type": "disabled"}
    elif effort is not None and chat.get("tool_choice") in (None, "auto", "none"):
        found["thinking"] = {"type": "adaptive"}
    return found


def chat_effort(request: Json) -> Json:
    """`reasoning_effort` where Anthropic's request says how much to think. Adaptive thinking says nothing: it is what
    models behind the chat form do.
    """
    if request.get("thinking") is not None:
        thinking = an_object(request["thinking"], "thinking")
        if thinking.get("type") == "disabled":
            return {"reasoning_effort": "none"}
    else:
        thinking = {}
    config = an_object(request.get("output_config") or {}, "output_config")
    if config.get("effort") is not None:
        return {"reasoning_effort": a_string(config["effort"], "output_config.effort")}
    if thinking.get("type") == "enabled":
        budget = a_number(thinking.get("budget_tokens"), "thinking.budget_tokens")
        return {"reasoning_effort": next((effort for below, effort in BUDGETS if budget < below), "high")}
    return {}


def is_thought(block: Json) -> bool:
    kind = block.get("type")
    return isinstance(kind, str) and kind in SIGNED


def thoughts_of(blocks: list[Json]) -> Json:
    """`reasoning_content` and `thinking_blocks` of a chat message, of those of Anthropic's blocks that are thoughts."""
    thoughts = [block for block in blocks if is_thought(block)]
    if not thoughts:
        return {}
    text = "".join(block["thinking"] for block in thoughts if isinstance(block.get("thinking"), str))
    return ({"reasoning_content": text} if text else {}) | {"thinking_blocks": thoughts}


def signed(blocks: Any, param: str) -> list[Json]:
    """Those of a message's `thinking_blocks` that Anthropic takes back, with no more than it knows: clients that put a
    stream together leave indices in them. Thoughts of another backend have no signature and are left out: a model goes
    on without them.
    """
    found = []
    for _, block in objects(blocks or [], param):
        names = SIGNED[block["type"]] if is_thought(block) else ()
        if names and all(isinstance(block.get(name), str) for name in names) and block[names[0]]:
            found.append({"type": block["type"]} | picked(block, names))
    return found
