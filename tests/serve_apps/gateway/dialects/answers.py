"""Any answers of either dialect, whole and in pieces, for properties."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from serve_apps.gateway.dialects.reading import Json

IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)
TEXTS = st.text(min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
COUNTS = st.integers(0, 10_000)


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """The text, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@st.composite
def chat_answers(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A completion and chunks that say the same: thoughts, text, and calls in turns."""
    thought, text = draw(TEXTS | st.just("")), draw(TEXTS | st.just(""))
    names = draw(st.lists(TEXTS, max_size=3))
    arguments = [json.dumps(draw(OBJECTS)) for _ in names]
    reason = draw(st.sampled_from(["stop", "length", "content_filter"])) if not names else "tool_calls"
    usage = draw(chat_usages())
    calls = [
        {"id": f"c-{index}", "type": "function", "function": {"name": name, "arguments": argued}}
        for index, (name, argued) in enumerate(zip(names, arguments, strict=True))
    ]
    head: Json = {"id": "chatcmpl-1", "created": 7, "model": "m"}
    said = {"role": "assistant", "content": text or None} | ({"tool_calls": calls} if calls else {})
    choice = {"index": 0, "message": said | ({"reasoning": thought} if thought else {}), "finish_reason": reason}
    whole = head | {"object": "chat.completion", "choices": [choice], "usage": usage}

    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning": piece} for piece in pieces(draw, thought)]
    deltas += [{"content": piece} for piece in pieces(draw, text)]
    for index, call in enumerate(calls):
        deltas.append({"tool_calls": [{"index": index, **call, "function": {"name": names[index], "arguments": ""}}]})
    left = {index: pieces(draw, text) for index, text in enumerate(arguments)}
    for index in draw(st.permutations([index for index, cut in left.items() for _ in cut])):
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": left[index].pop(0)}}]})
    chunks = [_chunk(head, delta, None) for delta in deltas]
    chunks.append(_chunk(head, {}, reason))
    chunks.append(head | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
    return whole, chunks


@st.composite
def chat_usages(draw: st.DrawFn) -> Json:
    cached, written, rest, thought, said = (draw(COUNTS) for _ in range(5))
    return {
        "prompt_tokens": cached + written + rest,
        "completion_tokens": thought + said,
        "total_tokens": cached + written + rest + thought + said,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


@st.composite
def anthropic_answers(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A message and events that say the same."""
    blocks: list[Json] = []
    events: list[Json] = []
    for index, kind in enumerate(draw(st.lists(st.sampled_from(["thinking", "redacted", "text", "tool"]), max_size=5))):
        block, start, deltas = draw(_blocks(kind, index))
        blocks.append(block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
        if draw(st.booleans()):
            events.append({"type": "ping"})
    called = any(block["type"] == "tool_use" for block in blocks)
    reasons = ["tool_use"] if called else ["end_turn", "max_tokens", "stop_sequence", "refusal"]
    reason = draw(st.sampled_from(reasons))
    stop: Json = {"stop_reason": reason, "stop_sequence": "END" if reason == "stop_sequence" else None}
    begun: Json = {"input_tokens": draw(COUNTS), "cache_read_input_tokens": draw(COUNTS), "output_tokens": 1}
    usage = {"output_tokens": draw(COUNTS)}
    head: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    first: Json = head | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
    whole = head | stop | {"content": blocks, "usage": begun | usage}
    ends: list[Json] = [{"type": "message_delta", "delta": stop, "usage": usage}, {"type": "message_stop"}]
    return whole, [{"type": "message_start", "message": first}, *events, *ends]


@st.composite
def _blocks(draw: st.DrawFn, kind: str, index: int) -> tuple[Json, Json, list[Json]]:
    """A block, how it starts and its deltas."""
    block: Json
    deltas: list[Json]
    match kind:
        case "thinking":
            thinking = draw(TEXTS | st.just(""))
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(draw, thinking)]
            deltas.append({"type": "signature_delta", "signature": "sig"})
            block = {"type": "thinking", "thinking": thinking, "signature": "sig"}
            return block, {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case "redacted":
            block = {"type": "redacted_thinking", "data": "xyz"}
            return block, block, []
        case "text":
            text = draw(TEXTS)
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(draw, text)]
            return {"type": "text", "text": text}, {"type": "text", "text": ""}, deltas
    arguments = draw(OBJECTS)
    block = {"type": "tool_use", "id": f"toolu_{index}", "name": draw(TEXTS), "input": arguments}
    cut = pieces(draw, json.dumps(arguments)) if arguments else [""]
    return block, block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in cut]


def _chunk(head: Json, delta: Json, reason: str | None) -> Json:
    choice: Any = {"index": 0, "delta": delta, "finish_reason": reason}
    return head | {"object": "chat.completion.chunk", "choices": [choice]}
