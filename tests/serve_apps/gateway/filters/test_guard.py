"""Guardrails: what is refused, in which words, and how a stream ends that says what it must not."""

from __future__ import annotations

from typing import Any

import pytest

from serve_apps.gateway.errors import ApiError
from tests.serve_apps.gateway.filters.asking import answer_of, asking, context, filters, said, through

TOOL = {"type": "function", "function": {"name": "shell"}}
REFUSED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (
        {"words": ["project bluebird"]},
        {"content": "What is Project Bluebird?"},
        "content_policy_violation",
        "not allowed",
    ),
    ({"patterns": ["EMP-[0-9]+"]}, {"content": "EMP-1"}, "content_policy_violation", "not allowed"),
    ({"longest_prompt": 3}, {"content": "four"}, "prompt_too_long", "4 characters; at most 3"),
    ({"roles": ["system"]}, {"content": "x"}, "content_policy_violation", "'user'"),
    ({"blocked_tools": ["shell"]}, {"content": "x", "tools": [TOOL]}, "content_policy_violation", "'shell'"),
]


@pytest.mark.parametrize(("guard", "request_", "code", "words"), REFUSED)
def test_a_request_is_refused_with_what_is_wrong(
    guard: dict[str, Any], request_: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(ApiError, match=words) as refused:
        filters({"type": "guard", **guard}).on_request(asking(**request_), context())
    assert (refused.value.status, refused.value.code, refused.value.kind) == (400, code, "invalid_request_error")


def test_a_word_is_not_found_within_another_one() -> None:
    request = asking("The class is assessed.")
    assert filters({"type": "guard", "words": ["ass"]}).on_request(request, context()) is request


def test_a_stream_that_says_what_it_must_not_ends_in_an_error_and_says_none_of_it() -> None:
    answering = filters({"type": "guard", "words": ["bluebird"], "on": "both"}).answering(context())
    assert answering is not None
    chunks, done = through(answering, [{"content": text} for text in ("It is ", "Blue", "bird", ".")])
    assert said(chunks) == "It is "
    assert chunks[-1]["error"]["code"] == "content_policy_violation"
    assert not done
    assert answering.rejected is not None


def test_a_whole_answer_is_refused_with_the_words_of_the_file() -> None:
    told = {"type": "guard", "words": ["bluebird"], "on": "response", "message": "Ask something else."}
    answering = filters(told).answering(context())
    assert answering is not None
    with pytest.raises(ApiError, match="Ask something else"):
        answering.whole(answer_of("Bluebird!"))
