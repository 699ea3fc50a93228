"""What holds for every request: the conversation survives both translations, and nothing but a refusal is raised."""

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.gateway.dialects.anthropic_events import AnthropicEvents
from serve_apps.gateway.dialects.anthropic_request import anthropic_request
from serve_apps.gateway.dialects.anthropic_response import anthropic_response
from serve_apps.gateway.dialects.chat_chunks import ChatChunks
from serve_apps.gateway.dialects.chat_extensions import without_extensions
from serve_apps.gateway.dialects.chat_request import chat_request
from serve_apps.gateway.dialects.chat_response import chat_response
from serve_apps.gateway.dialects.completions import completions_chat_request, text_chunks, text_completion
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.responses_events import ResponsesEvents
from serve_apps.gateway.dialects.responses_object import response_object
from serve_apps.gateway.dialects.responses_request import responses_chat_request
from serve_apps.gateway.errors import ApiError
from tests.serve_apps.gateway.dialects.answers import IDS, JSON, OBJECTS, TEXTS, anthropic_answers, chat_answers
from tests.serve_apps.gateway.dialects.official import is_anthropic_request, is_chat_request
from tests.serve_apps.gateway.dialects.requests import ANTHROPIC, CHAT, COMPLETION, RESPONSES

Path = tuple[str | int, ...]
URLS = st.sampled_from(["data:image/png;base64,aGk=", "https://example.com/a.jpg"])
PARTS = st.one_of(
    TEXTS.map(lambda text: {"type": "text", "text": text}),
    URLS.map(lambda url: {"type": "image_url", "image_url": {"url": url}}),
)
CONTENT = TEXTS | st.lists(PARTS, min_size=1, max_size=3)


def asked(content: Any) -> list[Json]:
    return [{"role": "user", "content": content}]


@st.composite
def rounds_of_tools(draw: st.DrawFn) -> list[Json]:
    """An assistant that calls, perhaps several at once, and what the calls gave."""
    calls = []
    for call_id in draw(st.lists(IDS, min_size=1, max_size=3, unique=True)):
        function = {"name": draw(TEXTS), "arguments": json.dumps(draw(OBJECTS))}
        calls.append({"id": f"call-{call_id}", "type": "function", "function": function})
    said = {"role": "assistant", "content": draw(st.none() | TEXTS), "tool_calls": calls}
    texts = TEXTS | st.lists(TEXTS.map(lambda text: {"type": "text", "text": text}), min_size=1, max_size=2)
    return [said, *({"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls)]


CONVERSATIONS = st.lists(
    st.one_of(
        CONTENT.map(asked),
        TEXTS.map(lambda text: [{"role": "assistant", "content": text}]),
        st.tuples(st.sampled_from(["system", "developer"]), TEXTS).map(
            lambda told: [{"role": told[0], "content": told[1]}]
        ),
        rounds_of_tools(),
    ),
    max_size=6,
).map(lambda rounds: asked("hi") + [message for messages in rounds for message in messages])


def said_in(messages: list[Json]) -> Iterator[tuple[Any, ...]]:
    """Who says what, piece by piece, whatever messages it stands in; system messages first."""
    told = [message for message in messages if message["role"] in ("system", "developer")]
    for message in [*told, *(message for message in messages if message not in told)]:
        role = "system" if message in told else message["role"]
        content = message["content"] or []
        parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            said = part["text"] if part["type"] == "text" else part["image_url"]["url"]
            yield role, message.get("tool_call_id"), said
        for call in message.get("tool_calls") or []:
            yield role, call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])


@settings(max_examples=200, deadline=None)
@given(CONVERSATIONS)
def test_a_conversation_survives_the_way_to_anthropic_and_back(messages: list[Json]) -> None:
    there = anthropic_request({"model": "m", "messages": messages}, default_max_tokens=10)
    assert is_anthropic_request(there)
    back = chat_request(there)
    assert is_chat_request(back)
    assert list(said_in(back["messages"])) == list(said_in(messages))


@settings(max_examples=200, deadline=None)
@given(CONVERSATIONS)
def test_turns_alternate_and_none_is_empty(messages: list[Json]) -> None:
    turns = anthropic_request({"model": "m", "messages": messages}, default_max_tokens=10)["messages"]
    roles = [turn["role"] for turn in turns]
    assert all(one != other for one, other in pairwise(roles))
    assert all(turn["content"] for turn in turns)


def paths(document: Any, at: Path = ()) -> Iterator[Path]:
    yield at
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from paths(value, (*at, key))


def mutated(data: st.DataObject, document: Any) -> Any:
    """With up to three values replaced by any other, by one from elsewhere in it, or taken out."""
    changed = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([path for path in paths(changed) if path]))
        place = changed
        for key in way:
            place = place[key]
        match data.draw(st.sampled_from(["any", "other", "none"])):
            case "any":
                place[last] = data.draw(JSON)
            case "other":
                value = changed
                for key in data.draw(st.sampled_from(list(paths(changed)))):
                    value = value[key]
                place[last] = copy.deepcopy(value)
            case _:
                del place[last]
        if not changed:
            return copy.deepcopy(document)
    return changed


def to_anthropic(request: Json) -> Json:
    return anthropic_request(request, default_max_tokens=10)


@pytest.mark.parametrize(
    ("request_of", "translations"),
    [
        (CHAT, [to_anthropic]),
        (ANTHROPIC, [chat_request, without_extensions, to_anthropic]),
        (RESPONSES, [responses_chat_request, to_anthropic]),
        (COMPLETION, [completions_chat_request, to_anthropic]),
    ],
    ids=["chat", "anthropic", "responses", "completion"],
)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_mutated_request_is_translated_or_refused(
    request_of: Json, translations: list[Callable[[Json], Json]], data: st.DataObject
) -> None:
    document = mutated(data, request_of)
    refusal = None
    try:
        for translation in translations:
            document = translation(document)
        json.dumps(document)
    except ApiError as error:
        refusal = error
    assert refusal is None or (refusal.status == 400 and refusal.param and json.loads(refusal.body()))


@settings(max_examples=200, deadline=None)
@given(data=st.data(), answer=chat_answers())
def test_a_mutated_chat_answer_is_translated_or_a_value_error(
    data: st.DataObject, answer: tuple[Json, list[Json]]
) -> None:
    whole, chunks = mutated(data, answer[0]), list(answer[1])
    spoilt = data.draw(st.integers(0, len(chunks) - 1))
    chunks[spoilt] = mutated(data, chunks[spoilt])
    for translation in (anthropic_response, text_completion, lambda told: response_object({}, told, "resp_1")):
        translated_or_value_error(translation, whole)
    for reader in (AnthropicEvents(), ResponsesEvents({}, "resp_1")):
        for chunk in chunks:
            translated_or_value_error(reader.feed, chunk)
        json.dumps(reader.done())
    for chunk in chunks:
        translated_or_value_error(text_chunks, chunk)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), answer=anthropic_answers())
def test_a_mutated_answer_of_anthropics_is_translated_or_a_value_error(
    data: st.DataObject, answer: tuple[Json, list[Json]]
) -> None:
    whole, events = answer
    translated_or_value_error(lambda told: chat_response(told, created=7), mutated(data, whole))
    reader = ChatChunks(created=7)
    spoilt = data.draw(st.integers(0, len(events) - 1))
    for index, event in enumerate(events):
        translated_or_value_error(reader.feed, mutated(data, event) if index == spoilt else event)


def translated_or_value_error(translation: Callable[[Json], Any], document: Json) -> None:
    with contextlib.suppress(ValueError):
        json.dumps(translation(document))
