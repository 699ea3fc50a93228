"""Which requests may share an answer."""

from __future__ import annotations

from typing import Any

import pytest

from serve_apps.gateway.body import COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES
from tests.serve_apps.gateway.cache.asks import ask, ask_or_none

USER = {"role": "user", "content": "What is the capital of France?"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize("fields", [{"stream": True}, {"user": "u"}, {"metadata": {"a": "b"}}])
def test_how_an_answer_is_delivered_changes_nothing_of_it(fields: dict[str, Any]) -> None:
    plain, other = ask_or_none(), ask_or_none(**fields)
    assert plain
    assert other
    assert plain.key == other.key


@pytest.mark.parametrize(
    "fields", [{"model": "n"}, {"temperature": 0.5}, {"seed": 1}, {"tools": [{"type": "function"}]}, {"tenant": "b"}]
)
def test_what_changes_the_answer_shares_nothing(fields: dict[str, Any]) -> None:
    plain, other = ask_or_none(), ask_or_none(**fields)
    assert plain
    assert other
    assert plain.key != other.key
    assert plain.near != other.near


def test_only_the_last_message_may_be_in_other_words() -> None:
    one, other = ask("What is it?"), ask("What may it be?")
    assert one.near == other.near
    assert one.key != other.key
    instructed = ask_or_none(messages=[{"role": "system", "content": "Be brief."}, USER])
    assert instructed is not None
    assert instructed.near != one.near


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"modalities": ["text", "audio"], "audio": {"voice": "x"}},
        {"messages": [USER, {"role": "tool", "tool_call_id": "1", "content": "2"}]},
        {"control": b"max-age=0, no-store"},
        {"path": EMBEDDINGS, "input": "x"},
    ],
)
def test_what_cannot_be_said_again_is_left_alone(fields: dict[str, Any]) -> None:
    assert ask_or_none(**fields) is None


def test_who_wants_no_kept_answer_still_leaves_one() -> None:
    found = ask_or_none(control=b"no-cache")
    assert found is not None
    assert not found.looks


def test_pictures_and_long_texts_are_only_found_as_they_are() -> None:
    for content in ([{"type": "text", "text": "What?"}, PICTURE], "word " * 200):
        found = ask_or_none(messages=[{"role": "user", "content": content}])
        assert found is not None
        assert found.text == ""


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (MESSAGES, {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]}),
        (RESPONSES, {"input": "Why?"}),
        (COMPLETIONS, {"prompt": "Why?"}),
    ],
)
def test_each_api_has_its_last_words_compared(path: str, fields: dict[str, Any]) -> None:
    found = ask_or_none(path=path, **fields)
    assert found is not None
    assert found.text == "Why?"
