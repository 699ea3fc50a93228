"""What answers become in the other dialect, whole and as streams, where they are not the ordinary ones."""

import json
from typing import Any

import pytest

from serve_apps.gateway.dialects.anthropic_events import AnthropicEvents
from serve_apps.gateway.dialects.anthropic_response import anthropic_response
from serve_apps.gateway.dialects.chat_chunks import ChatChunks
from serve_apps.gateway.dialects.chat_response import chat_response
from serve_apps.gateway.dialects.chunk_reader import ChunkReader
from serve_apps.gateway.dialects.completions import text_chunks
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.responses_events import ResponsesEvents
from serve_apps.gateway.dialects.responses_object import response_object
from serve_apps.gateway.dialects.usage import Usage
from tests.serve_apps.gateway.dialects.official import (
    completion_of,
    is_anthropic_error,
    is_completion,
    is_message,
    is_response,
    is_responses_event,
    message_of,
)

CALL: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
STARTED: Json = {"type": "message_start", "message": MESSAGE}
STOPPED: Json = {"type": "message_stop"}
CHAT_ERROR: Json = {"error": {"message": "too long", "type": "BadRequestError", "param": None, "code": 400}}
ANTHROPIC_ERROR: Json = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def completion(said: Json, finish_reason: str = "stop", **more: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": None} | said, "finish_reason": finish_reason}
    found = {"id": "x", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice | more]}
    assert is_completion(found)
    return found


def chunk(delta: Json, finish_reason: str | None = None, **more: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "x", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice | more]}


def called(index: int, call_id: str | None = None, name: str | None = None, arguments: str = "") -> Json:
    return chunk({"tool_calls": [{"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}]})


def through(reader: ChunkReader, *chunks: Json) -> list[Json]:
    return [event for one in chunks for event in reader.feed(one)] + reader.done()


def stopped(reason: str | None, **more: Any) -> Json:
    delta = {"stop_reason": reason, "stop_sequence": None} | more
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}


def events_to_chunks(*events: Json) -> list[Json]:
    reader = ChatChunks(created=7)
    return [made for event in events for made in reader.feed(event)]


@pytest.mark.parametrize(
    ("finish_reason", "said", "more", "stop_reason"),
    [
        ("stop", {"content": "hi"}, {}, "end_turn"),
        ("stop", {"content": "hi"}, {"stop_reason": "END"}, "stop_sequence"),
        ("stop", {"content": "hi"}, {"stop_reason": 128009}, "end_turn"),
        ("length", {"content": "hi"}, {}, "max_tokens"),
        ("tool_calls", {"tool_calls": [CALL]}, {}, "tool_use"),
        ("stop", {"tool_calls": [CALL]}, {}, "tool_use"),
        ("content_filter", {"content": "hi"}, {}, "refusal"),
        ("stop", {"refusal": "No."}, {}, "refusal"),
    ],
)
def test_a_reason_to_stop_is_anthropics_in_whole_and_in_a_stream(
    finish_reason: str, said: Json, more: Json, stop_reason: str
) -> None:
    whole = anthropic_response(completion(said, finish_reason, **more))
    assert is_message(whole)
    delta = said | {"tool_calls": [call | {"index": 0} for call in said.get("tool_calls", [])]}
    streamed = message_of(through(AnthropicEvents(), chunk(delta), chunk({}, finish_reason, **more)))
    for made in (whole, streamed):
        assert made["stop_reason"] == stop_reason
        assert made["stop_sequence"] == ("END" if stop_reason == "stop_sequence" else None)
    assert streamed["content"] == whole["content"]


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_a_reason_to_stop_is_openais_in_whole_and_in_a_stream(stop_reason: str, finish_reason: str) -> None:
    whole = chat_response(MESSAGE | {"stop_reason": stop_reason}, created=7)
    assert is_completion(whole)
    streamed = completion_of(events_to_chunks(STARTED, stopped(stop_reason), STOPPED))
    for made in (whole, streamed):
        assert made["choices"][0]["finish_reason"] == finish_reason


def test_what_anthropic_says_of_a_refusal_is_the_refusal() -> None:
    details = {"stop_details": {"type": "refusal", "category": None, "explanation": "No."}}
    whole = chat_response(MESSAGE | {"stop_reason": "refusal"} | details, created=7)
    streamed = completion_of(events_to_chunks(STARTED, stopped("refusal", **details), STOPPED))
    assert whole["choices"][0]["message"]["refusal"] == streamed["choices"][0]["message"]["refusal"] == "No."


def test_arguments_that_are_no_json_are_kept_where_anthropics_form_needs_an_object() -> None:
    cut = CALL | {"function": {"name": "f", "arguments": '{"a": '}}
    [block] = anthropic_response(completion({"tool_calls": [cut]}, "length"))["content"]
    assert block["input"] == {"INVALID_JSON": '{"a": '}


def test_the_tier_that_served_is_told() -> None:
    assert anthropic_response(completion({}) | {"service_tier": "default"})["usage"]["service_tier"] == "standard"
    usage = MESSAGE["usage"] | {"service_tier": "priority"}
    message = MESSAGE | {"stop_reason": "end_turn", "usage": usage}
    assert chat_response(message, created=7)["service_tier"] == "priority"
    assert events_to_chunks({"type": "message_start", "message": message})[0]["service_tier"] == "priority"


def test_a_call_begins_when_its_name_is_known_and_loses_nothing() -> None:
    made = message_of(
        through(
            AnthropicEvents(), called(0, "c", arguments='{"a"'), called(0, "c", "f", ": 1"), called(0, arguments="}"),
            chunk({}, "tool_calls"),
        )
    )  # fmt: skip
    [block] = made["content"]
    assert (block["name"], block["input"]) == ("f", {"a": 1})


def test_calls_that_a_server_all_counts_0_stay_apart() -> None:
    made = message_of(
        through(AnthropicEvents(), called(0, "c", "f", "{}"), called(0, "d", "g", "{}"), chunk({}, "tool_calls"))
    )
    assert [(block["id"], block["name"]) for block in made["content"]] == [("c", "f"), ("d", "g")]


def test_a_call_without_an_id_gets_one_of_the_answers() -> None:
    made = message_of(through(AnthropicEvents(), called(1, None, "f", "{}"), chunk({}, "tool_calls")))
    assert made["content"][0]["id"] == "x_1"


def test_text_after_a_call_is_a_block_of_its_own() -> None:
    events = through(
        AnthropicEvents(), chunk({"content": "a"}), called(0, "c", "f"), chunk({"content": "b"}),
        called(0, arguments='{"a": 1}'), chunk({}, "tool_calls"),
    )  # fmt: skip
    made = message_of(events)
    assert [block.get("text") or block["input"] for block in made["content"]] == ["a", {"a": 1}, "b"]
    started = [event["index"] for event in events if event["type"] == "content_block_start"]
    ended = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert started == [0, 1, 2]
    assert sorted(ended) == started


def test_figures_that_come_with_every_chunk_are_told_once_with_the_last() -> None:
    reader = AnthropicEvents()
    counts = [{"prompt_tokens": 9, "completion_tokens": n} for n in range(1, 4)]
    chunks = [chunk({"content": "a"}) | {"usage": usage} for usage in counts]
    events = through(reader, *chunks, chunk({}, "stop"))
    assert reader.usage == Usage(9, 0, 0, 3, 0)
    assert message_of(events)["usage"]["output_tokens"] == 3


def test_figures_at_the_start_and_the_end_of_a_stream_of_anthropics_add_up() -> None:
    reader = ChatChunks(created=7)
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5, "output_tokens": 1}
    reader.feed({"type": "message_start", "message": MESSAGE | {"usage": usage}})
    assert reader.usage == Usage(12, 4, 5, 1, 0)
    reader.feed(stopped("end_turn") | {"usage": {"output_tokens": 8, "input_tokens": None}})
    assert reader.usage == Usage(12, 4, 5, 8, 0)


def test_a_role_or_a_ping_is_no_beginning() -> None:
    reader, chunks = AnthropicEvents(), ChatChunks(created=7)
    reader.feed(chunk({"role": "assistant", "content": ""}))
    for event in (STARTED, {"type": "ping"}):
        chunks.feed(event)
    chunks.feed({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    assert not reader.began
    assert not chunks.began
    reader.feed(chunk({"reasoning": "hm"}))
    chunks.feed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}})
    assert reader.began
    assert chunks.began


def test_an_error_in_a_chat_stream_ends_it_as_one_of_anthropics() -> None:
    reader = AnthropicEvents()
    events = through(reader, chunk({"content": "a"}), CHAT_ERROR, chunk({"content": "b"}, "stop"))
    assert events[-1] == {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}
    assert is_anthropic_error(events[-1])
    assert (reader.failed, reader.ended) == (True, False)
    assert not any(event.get("delta", {}).get("text") == "b" for event in events)


def test_an_error_in_a_stream_of_anthropics_ends_it_as_one_of_openais() -> None:
    reader = ChatChunks(created=7)
    chunks = [made for event in (STARTED, ANTHROPIC_ERROR, stopped("end_turn"), STOPPED) for made in reader.feed(event)]
    error = {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded_error"}
    assert chunks[1:] == [{"error": error}]
    assert (reader.failed, reader.ended) == (True, False)
    assert text_chunks(chunks[1]) == [chunks[1]]


def test_an_error_fails_a_response_and_before_it_is_one_is_told_alone() -> None:
    reader = ResponsesEvents({}, "resp_1")
    events = through(reader, chunk({"content": "a"}), CHAT_ERROR)
    assert is_responses_event(events[-1])
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {"code": "invalid_prompt", "message": "too long"}
    assert (reader.failed, reader.ended) == (True, False)
    [alone] = through(ResponsesEvents({}, "resp_1"), {"error": {"message": "boom"}})
    assert is_responses_event(alone)
    assert (alone["type"], alone["code"]) == ("error", "server_error")


def test_a_stream_of_anthropics_that_stops_without_a_reason_is_not_whole() -> None:
    reader = ChatChunks(created=7)
    for event in (STARTED, stopped(None), STOPPED):
        reader.feed(event)
    assert not reader.ended


def test_an_event_out_of_place_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="in its place"):
        ChatChunks(created=7).feed(stopped("end_turn"))
    with pytest.raises(ValueError, match="not a chunk"):
        AnthropicEvents().feed({"choices": 5})
    with pytest.raises(ValueError, match="not a message"):
        chat_response({}, created=7)
    with pytest.raises(ValueError, match="not a chat completion"):
        anthropic_response({"choices": []})


def test_thoughts_come_back_through_a_response_with_their_signatures() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "sig"}]
    said = {"content": "a", "reasoning_content": "hm", "thinking_blocks": blocks}
    made = response_object({}, completion(said), "resp_1")
    assert is_response(made)
    assert json.loads(made["output"][0]["encrypted_content"]) == blocks


def test_a_response_tells_what_it_was_made_with_and_that_nothing_is_stored() -> None:
    request: Json = {"instructions": "Be brief.", "store": True, "metadata": {"a": "b"}, "parallel_tool_calls": False}
    made = response_object(request, completion({"content": "a"}), "resp_1")
    assert is_response(made)
    assert {name: made[name] for name in request} == request | {"store": False}


@pytest.mark.parametrize(
    ("finish_reason", "incomplete"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_response_that_was_cut_is_incomplete(finish_reason: str, incomplete: str) -> None:
    made = response_object({}, completion({"content": "a"}, finish_reason), "resp_1")
    assert is_response(made)
    assert (made["status"], made["incomplete_details"]) == ("incomplete", {"reason": incomplete})
    assert made["output"][0]["status"] == "incomplete"


def test_a_refusal_in_a_response_is_a_part_of_its_own() -> None:
    events = through(
        ResponsesEvents({}, "resp_1"), chunk({"content": "a"}), chunk({"refusal": "No."}), chunk({}, "stop")
    )
    assert all(is_responses_event(event) for event in events)
    [item] = events[-1]["response"]["output"]
    assert [part.get("text") or part["refusal"] for part in item["content"]] == ["a", "No."]
