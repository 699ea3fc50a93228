"""An answer that is kept is told again as it was, and only what is whole and nothing but text is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.gateway.cache.collect import Collector, keepable
from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.cache.replay import events, headers_of, whole
from tests.serve_apps.gateway.cache.asks import answer


def _found(completion: dict[str, Any], kind: Any = "exact") -> Found:
    return Found(json.dumps(completion).encode(), kind, 12.7, 40.0, 5, 0.91)


def test_the_whole_prompt_counts_as_cached() -> None:
    told = json.loads(whole(_found(answer())))
    assert told["usage"]["prompt_tokens_details"]["cached_tokens"] == 9
    assert told | {"usage": answer()["usage"]} == answer()


def test_headers_say_which_kind_of_hit_it_is_and_its_age() -> None:
    assert headers_of(_found(answer())) == [(b"x-biplane-cache", b"exact"), (b"age", b"12")]
    assert (b"x-biplane-cache-similarity", b"0.910") in headers_of(_found(answer(), "semantic"))


@given(text=st.text(min_size=1, max_size=2000), cuts=st.lists(st.integers(1, 400), max_size=20))
def test_a_replayed_stream_collects_to_the_same_answer_however_it_is_cut(text: str, cuts: list[int]) -> None:
    stream, collector = b"".join(events(_found(answer(text)), counted=True)), Collector()
    for cut in cuts:
        collector.feed(stream[:cut])
        stream = stream[cut:]
    collector.feed(stream)
    told = collector.completion()
    assert told is not None
    assert told["choices"][0]["message"]["content"] == text
    assert told["usage"]["prompt_tokens"] == 9


def test_usage_is_told_only_to_who_asked_for_it() -> None:
    assert b'"usage"' not in b"".join(events(_found(answer()), counted=False))


@pytest.mark.parametrize(
    "completion",
    [
        answer("", "stop"),
        answer("x", "content_filter"),
        answer("x", "tool_calls", tool_calls=[{"id": "1"}]),
        answer("x", refusal="I will not."),
        {"error": {"message": "no"}},
        answer() | {"choices": answer()["choices"] * 2},
        [],
    ],
)
def test_errors_calls_and_refusals_are_not_kept(completion: Any) -> None:
    assert not keepable(completion)


@pytest.mark.parametrize(
    "broken",
    [
        lambda stream: stream.replace(b"data: [DONE]\n\n", b""),
        lambda stream: stream.replace(b'"finish_reason":"stop"', b'"finish_reason":null'),
        lambda stream: stream.replace(b'{"content":"Paris."}', b'{"tool_calls":[{"index":0}]}'),
        lambda stream: b'data: {"error":{"message":"x"}}\n\n' + stream,
        lambda stream: b"data: {\xff\n\n" + stream,
    ],
)
def test_a_stream_that_is_cut_or_says_more_than_text_is_not_kept(broken: Any) -> None:
    collector = Collector()
    collector.feed(broken(b"".join(events(_found(answer()), counted=True))))
    assert collector.completion() is None
