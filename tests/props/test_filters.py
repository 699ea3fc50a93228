"""What holds for filters over any text, however it is cut: as over the whole, nothing leaks, all is put back."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from control.specs.filters import PRESETS
from control.specs.pattern import compiled, parse_pattern
from serve_apps.gateway.body import CHAT, COMPLETIONS, EMBEDDINGS, parse_request
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.filters.presets import preset
from serve_apps.gateway.filters.scan import Patterns, Scan, Wanted
from tests.serve_apps.gateway.filters.asking import answer_of, asking, context, filters, said, through

SECRETS = (
    "ada@example.org", "4111 1111 1111 1111", "3782-822463-10005", "+44 20 7946 0958", "536-22-1234", "::1",
    "DE89 3704 0044 0532 0130 00", "192.168.0.1", "2001:db8::7334", "sk-ant-abcdefghijklmnopqrstuv", "[email-1]",
)  # fmt: skip
PIECES = st.lists(
    st.sampled_from((*SECRETS, " ", ", ", "é", "a", "1", "-", "@", ".", ":", "\n"))
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    max_size=12,
)
TEXTS = PIECES.map("".join)
CUTS = st.lists(st.integers(0, 60), max_size=8)
KNOWN = Patterns([preset(name) for name in PRESETS])
SIMPLE = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\b", r"\d", "é", "^", "$"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["?", "{1,2}", "{0,2}", "{2}", "{1,3}?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


def cut(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(place for place in cuts if place < len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def shown(name: str, found: str) -> str:
    return f"<{name}|{found}>"


@settings(max_examples=400, deadline=None)
@given(TEXTS, CUTS)
def test_a_text_in_pieces_is_filtered_as_the_whole(text: str, cuts: list[int]) -> None:
    scan = Scan(KNOWN, shown)
    assert "".join(map(scan.feed, cut(text, cuts))) + scan.finish() == KNOWN.replaced(text, shown)


@settings(max_examples=600, deadline=None)
@given(SIMPLE, SIMPLE, st.text("ab1é \n", max_size=12), CUTS)
def test_so_it_is_with_any_patterns(one: str, two: str, text: str, cuts: list[int]) -> None:
    try:
        patterns = Patterns([Wanted("one", parse_pattern(one)), Wanted("two", parse_pattern(two))])
    except ValueError:
        assume(False)
    scan = Scan(patterns, shown)
    assert "".join(map(scan.feed, cut(text, cuts))) + scan.finish() == patterns.replaced(text, shown)


@settings(max_examples=400, deadline=None)
@given(SIMPLE, st.text("ab1 ", max_size=8))
def test_a_pattern_means_to_re2_what_it_means_to_python(pattern: str, text: str) -> None:
    try:
        parsed = parse_pattern(pattern)
    except ValueError:
        assume(False)
    expected = re.search(pattern, text, re.ASCII)
    found = compiled(parsed.whole).search(text.encode())
    assert (found and found.span()) == (expected and expected.span())


FIELDS = (
    "content",
    "text",
    "role",
    "function",
    "name",
    "arguments",
    "type",
    "thinking",
    "thinking_blocks",
    "tool_calls",
)
VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from(["user", "system", "a@x.org", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
BUILT_IN = (
    {"type": "guard", "words": ["zebra"], "longest_prompt": 10**6, "roles": ["user"], "blocked_tools": ["shell"]},
    {"type": "redact", "presets": ["email"], "restore": True},
    {"type": "template", "system": {"prepend": "a", "append": "b"}, "user": "<{prompt}>"},
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([CHAT, COMPLETIONS, EMBEDDINGS]),
    st.lists(VALUES, max_size=3),
    st.dictionaries(st.sampled_from(["tools", "functions", "prompt", "input", "user"]), VALUES, max_size=3),
)
def test_whatever_a_request_has_in_it_it_is_filtered_or_refused(path: str, messages: list[Any], more: Any) -> None:
    raw, refused = json.dumps({"model": "m", "messages": messages, **more}).encode(), 400
    try:
        asked = filters(*BUILT_IN).on_request(parse_request(path, raw), context())
    except ApiError as error:
        refused = error.status
    else:
        assert json.loads(asked.raw) == asked.document
    assert refused == 400


@settings(max_examples=300, deadline=None)
@given(PIECES, CUTS)
def test_a_redacted_stream_never_says_a_secret(pieces: list[str], cuts: list[int]) -> None:
    text = " ".join(pieces)
    answering = filters({"type": "redact", "presets": list(PRESETS), "on": "response"}).answering(context())
    assert answering is not None
    chunks, done = through(answering, [{"content": piece} for piece in cut(text, cuts)])
    assert done
    assert KNOWN.replaced(said(chunks), lambda *_: "LEAKED") == said(chunks)
    assert not any(f" {secret} " in f" {said(chunks)} " for secret in SECRETS if secret != "[email-1]")


@settings(max_examples=300, deadline=None)
@given(TEXTS, CUTS)
def test_a_model_that_repeats_the_request_gives_the_client_exactly_what_it_said(text: str, cuts: list[int]) -> None:
    one, about = filters({"type": "redact", "presets": list(PRESETS), "on": "request", "restore": True}), context()
    sent = one.on_request(asking(text), about).document["messages"][0]["content"]
    assert KNOWN.replaced(sent, lambda *_: "LEAKED") == sent
    answering = one.answering(about)
    assert answering is not None
    assert answering.whole(answer_of(sent))["choices"][0]["message"]["content"] == text
    streaming = one.answering(about)
    assert streaming is not None
    chunks, _ = through(streaming, [{"content": piece} for piece in cut(sent, cuts)])
    assert said(chunks) == text
