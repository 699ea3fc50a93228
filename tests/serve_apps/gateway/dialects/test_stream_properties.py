"""What holds for every stream, however it is cut: put together, it is the translation of the whole answer."""

import json
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.gateway.dialects.anthropic_events import AnthropicEvents
from serve_apps.gateway.dialects.anthropic_response import anthropic_response
from serve_apps.gateway.dialects.chat_chunks import ChatChunks
from serve_apps.gateway.dialects.chat_response import chat_response
from serve_apps.gateway.dialects.chunk_reader import ChunkReader
from serve_apps.gateway.dialects.completions import text_chunks, text_completion
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.responses_events import ResponsesEvents
from serve_apps.gateway.dialects.responses_object import response_object
from serve_apps.gateway.dialects.sse import EventSplitter, named_event, plain_event
from serve_apps.gateway.dialects.usage import Usage
from tests.serve_apps.gateway.dialects.answers import anthropic_answers, chat_answers
from tests.serve_apps.gateway.dialects.official import (
    completion_of,
    is_completion,
    is_message,
    is_response,
    is_responses_event,
    is_text_completion,
    message_of,
    openais_completion_of,
)

WHOLE_AND_CHUNKS = chat_answers()
WHOLE_AND_EVENTS = anthropic_answers()


def through(reader: ChunkReader, chunks: Iterable[Json]) -> list[Json]:
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.done()


def parsed_arguments(completion: Json) -> Json:
    """Arguments as they mean, not as they are written."""
    for call in completion["choices"][0]["message"].get("tool_calls", []):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return completion


@settings(max_examples=200, deadline=None)
@given(WHOLE_AND_CHUNKS)
def test_a_chat_stream_becomes_the_events_of_the_whole_message(answer: tuple[Json, list[Json]]) -> None:
    whole, chunks = answer
    reader = AnthropicEvents()
    made = message_of(through(reader, chunks))
    expected = anthropic_response(whole)
    assert is_message(expected)
    assert {name: made.get(name) for name in expected} == expected
    assert reader.ended
    assert reader.began == bool(expected["content"])
    assert reader.usage == Usage.of_anthropic(expected["usage"])


@settings(max_examples=200, deadline=None)
@given(WHOLE_AND_EVENTS)
def test_a_stream_of_anthropics_becomes_the_chunks_of_the_whole_completion(answer: tuple[Json, list[Json]]) -> None:
    whole, events = answer
    reader = ChatChunks(created=7)
    chunks = [chunk for event in events for chunk in reader.feed(event)]
    said = openais_completion_of(chunks)["choices"][0]["message"]
    made = completion_of(chunks)
    expected = chat_response(whole, created=7)
    assert is_completion(expected)
    assert (said["content"] or None) == made["choices"][0]["message"]["content"]
    assert len(said.get("thinking_blocks", [])) == len(made["choices"][0]["message"].get("thinking_blocks", []))
    assert parsed_arguments(made) == parsed_arguments(expected)
    assert reader.ended
    assert reader.began == bool(whole["content"])
    assert reader.usage == Usage.of_anthropic(whole["usage"])


@settings(max_examples=200, deadline=None)
@given(WHOLE_AND_EVENTS)
def test_a_stream_of_anthropics_comes_back_as_it_was(answer: tuple[Json, list[Json]]) -> None:
    """Blocks of text around calls come together, and so does what the chat form has no place for."""
    whole, events = answer
    there = ChatChunks(created=7)
    chunks = [chunk for event in events for chunk in there.feed(event)]
    made = message_of(through(AnthropicEvents(), chunks))
    for kind in ("thinking", "redacted_thinking", "tool_use"):
        assert _of_kind(made, kind) == _of_kind(whole, kind)
    assert _text(made) == _text(whole)
    assert (made["stop_reason"], made.get("stop_sequence")) == (whole["stop_reason"], whole["stop_sequence"])
    assert Usage.of_anthropic(made["usage"]) == Usage.of_anthropic(whole["usage"])


@settings(max_examples=200, deadline=None)
@given(WHOLE_AND_CHUNKS)
def test_a_chat_stream_becomes_the_events_of_the_whole_response(answer: tuple[Json, list[Json]]) -> None:
    whole, chunks = answer
    request: Json = {"model": "m", "input": "hi", "tools": [{"type": "function", "name": "f"}], "temperature": 0.5}
    reader = ResponsesEvents(request, "resp_1")
    events = through(reader, chunks)
    assert all(is_responses_event(event) for event in events)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    expected = response_object(request, whole, "resp_1")
    assert is_response(expected)
    assert events[-1]["response"] == expected
    assert events[-1]["type"] == f"response.{expected['status']}"
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert sorted(done, key=lambda item: int(item["id"].rpartition("_")[2])) == expected["output"]
    assert reader.ended


@settings(max_examples=100, deadline=None)
@given(WHOLE_AND_CHUNKS)
def test_a_chat_stream_becomes_the_chunks_of_the_whole_text(answer: tuple[Json, list[Json]]) -> None:
    whole, chunks = answer
    made = [text for chunk in chunks for text in text_chunks(chunk)]
    expected = text_completion(whole)
    assert is_text_completion(expected)
    choices = [choice for chunk in made for choice in chunk["choices"]]
    assert "".join(choice["text"] for choice in choices) == expected["choices"][0]["text"]
    assert choices[-1]["finish_reason"] == expected["choices"][0]["finish_reason"]
    assert made[-1]["usage"] == expected["usage"]


@settings(max_examples=100, deadline=None)
@given(WHOLE_AND_CHUNKS, st.integers(0, 30))
def test_a_stream_that_is_cut_never_looks_whole(answer: tuple[Json, list[Json]], kept: int) -> None:
    _, chunks = answer
    before_the_end = chunks[: min(kept, len(chunks) - 2)]
    for reader in (AnthropicEvents(), ResponsesEvents({}, "resp_1")):
        told = through(reader, before_the_end)
        assert not reader.ended
        assert not {"message_stop", "response.completed"} & {event["type"] for event in told}


@settings(max_examples=100, deadline=None)
@given(WHOLE_AND_EVENTS, st.data())
def test_events_are_the_same_however_the_bytes_are_cut(answer: tuple[Json, list[Json]], data: st.DataObject) -> None:
    _, events = answer
    end = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    raw = b": hello\n\n" + b"".join(named_event(event) for event in events) + plain_event({"last": "ö"})
    raw = raw.replace(b"\n", end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=40)))
    splitter = EventSplitter(limit=10_000)
    found = [
        event for start, stop in pairwise([0, *cuts, len(raw)]) for event in splitter.feed(raw[start:stop])
    ]  # fmt: skip
    assert [(event.name, json.loads(event.data)) for event in found] == [
        *((event["type"], event) for event in events),
        ("", {"last": "ö"}),
    ]
    assert splitter.finish() == []


def _of_kind(message: Json, kind: str) -> list[Json]:
    names = ("type", "thinking", "signature", "data", "id", "name", "input")
    blocks = [block for block in message["content"] if block["type"] == kind]
    return [{name: block[name] for name in names if name in block} for block in blocks]


def _text(message: Json) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")
