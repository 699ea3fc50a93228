"""Bytes into events, where a stream is not the ordinary one."""

import pytest
from openai._streaming import SSEDecoder

from serve_apps.gateway.dialects.sse import DONE, DONE_EVENT, Event, EventSplitter, named_event, plain_event


def split(raw: bytes, size: int = 1 << 20) -> list[Event]:
    splitter = EventSplitter(limit=1000)
    found = [event for at in range(0, len(raw), size) for event in splitter.feed(raw[at : at + size])]
    return found + splitter.finish()


RAW = (
    b": a comment\r\n\r\nid: 5\nretry: 10\nevent: ping\n\nevent: a\ndata: one\ndata:two\ndata\n\n"
    b"unknown: x\r\ndata:  \xc3\xb6\r\n\r\n\n\ndata: a\rb\n\ndata: [DONE]"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_comments_and_strange_lines_are_passed_over(size: int) -> None:
    assert split(RAW, size) == [
        Event("a", b"one\ntwo\n"),
        Event("", b" \xc3\xb6"),
        Event("", b"a\rb"),
        Event("", DONE),
    ]


@pytest.mark.parametrize("size", [1, 13, 5000])
def test_an_event_that_is_too_large_is_refused_while_it_comes(size: int) -> None:
    assert split(b"data: " + b"x" * 994 + b"\n\n", size)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        split(b"data: " + b"x" * 995, size)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        split(b"data: xxxx\n" * 101, size)


def test_many_events_are_no_large_one() -> None:
    assert len(split(b"data: x\n\n: y\n\n" * 1000, 10)) == 1000


def test_openais_own_reader_reads_what_is_written() -> None:
    raw = plain_event({"a": "ö\n\ud800"}) + named_event({"type": "ping"}) + DONE_EVENT
    read = list(SSEDecoder().iter_bytes(iter([raw])))
    assert [(event.event, event.data) for event in read] == [
        (None, '{"a":"\\u00f6\\n\\ud800"}'),
        ("ping", '{"type":"ping"}'),
        (None, "[DONE]"),
    ]
