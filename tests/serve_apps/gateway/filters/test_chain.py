"""The filters of a route together: their order, what passes untouched, and what one does that fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve_apps.gateway.body import CHAT, MESSAGES
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.filters.build import build_filters
from serve_apps.gateway.filters.filter import Context, Filter, Part, TextFilter
from tests.serve_apps.gateway.filters.asking import (
    answer_of,
    asking,
    context,
    filters,
    no_secret,
    said,
    through,
)

HERE = "tests.serve_apps.gateway.filters.test_chain"


class Tag(Filter):
    def __init__(self, name: str) -> None:
        self.name = name

    def request(self, document: dict[str, Any], context: Context) -> dict[str, Any]:
        return {**document, "metadata": document.get("metadata", "") + self.name}

    def answer(self, part: Part, context: Context) -> TextFilter | None:
        return Tagged(self.name)


class Tagged(Tag):
    def feed(self, text: str) -> str:
        return text

    def finish(self) -> str:
        return self.name


class Faulty(Tag):
    def answer(self, part: Part, context: Context) -> TextFilter | None:
        return FaultyText(self.name)


class FaultyText(Tagged):
    def feed(self, text: str) -> str:
        raise KeyError(self.name)


def test_requests_pass_the_filters_in_order_and_answers_in_reverse() -> None:
    one = filters(*({"type": f"{HERE}:Tag", "options": {"name": name}} for name in "ab"))
    assert one.on_request(asking("x"), context()).document["metadata"] == "ab"
    answering = one.answering(context())
    assert answering is not None
    assert answering.whole(answer_of("x"))["choices"][0]["message"]["content"] == "xba"


def test_where_no_filter_looks_at_answers_they_pass_as_they_are_and_the_client_s_own_api_is_spoken() -> None:
    one = filters({"type": "redact", "presets": ["email"], "on": "request"})
    request = asking("Hi", MESSAGES, max_tokens=5)
    assert one.on_request(request, context()) is request
    assert one.answering(context()) is None


def test_where_an_answer_is_looked_at_a_request_of_another_api_becomes_a_chat() -> None:
    one = filters({"type": "redact", "presets": ["email"], "on": "response"})
    assert one.on_request(asking("Hi", MESSAGES, max_tokens=5), context()).path == CHAT


def test_the_texts_of_several_choices_are_kept_apart_and_a_call_ends_the_text_before_it() -> None:
    answering = filters({"type": "redact", "presets": ["email"], "on": "response"}).answering(context())
    assert answering is not None
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}
    chunks, _ = through(
        answering, [{"role": "assistant", "content": ""}, {"content": "ask ada"}, {"tool_calls": [call]}]
    )
    deltas = [one["choices"][0]["delta"] for one in chunks]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "ask "},
        {"content": "ada"},
        {"tool_calls": [call]},
        {},
    ]


def test_what_a_stream_holds_back_comes_out_where_it_breaks_off() -> None:
    answering = filters({"type": "redact", "presets": ["email"], "on": "response"}).answering(context())
    assert answering is not None
    chunks, done = through(answering, [{"content": "ask ada@example.org"}])
    assert said(chunks) == "ask [email]"
    assert done


def test_a_filter_that_fails_in_an_answer_ends_it_and_what_it_did_not_look_at_is_not_passed_on() -> None:
    one = filters({"type": f"{HERE}:Faulty", "options": {"name": "n"}})
    answering = one.answering(context())
    assert answering is not None
    chunks, done = through(answering, [{"content": "secret"}])
    assert [one["error"]["code"] for one in chunks] == ["filter_failed"]
    assert not done
    with pytest.raises(ApiError) as failed:
        answering.whole(answer_of("secret"))
    assert failed.value.status == 500


@pytest.mark.parametrize(
    "own",
    [
        {"type": "no.such.module:Filter"},
        {"type": f"{HERE}:NoSuchClass"},
        {"type": f"{HERE}:Tag", "options": {"nme": "a"}},
        {"type": "collections:OrderedDict"},
    ],
)
def test_a_class_that_cannot_be_made_makes_its_route_answer_503(own: dict[str, Any]) -> None:
    made = build_filters(json.dumps([own]), no_secret)
    with pytest.raises(ApiError, match=own["type"].split(":")[0]) as refused:
        made.on_request(asking("x"), context())
    assert refused.value.status == 503


def test_the_same_filters_are_made_once() -> None:
    told = json.dumps([{"type": f"{HERE}:Tag", "options": {"name": "once"}}])
    assert build_filters(told, no_secret) is build_filters(told, no_secret)
