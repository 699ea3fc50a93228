"""How an entry looks on disk."""

from __future__ import annotations

import pytest

from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.framing import (
    FRAME_BYTES,
    Head,
    entry_of,
    frame_at,
    frame_bytes,
    frames,
    frames_behind,
    head_bytes,
    read_head,
)

ENTRIES = [Entry(2**40, 7, Kind.UPSERT, b"body"), Entry(3, 2**60, Kind.DELETE, b""), Entry(0, 1, Kind.LEAD, b"\0" * 99)]
DATA = b"".join(part for entry in ENTRIES for part in frame_bytes(entry))


def test_frames_are_read_as_they_were_written() -> None:
    view = memoryview(DATA)
    assert [entry_of(view, frame) for frame in frames(view, 0)] == ENTRIES


@pytest.mark.parametrize("bit", range(0, 8 * (FRAME_BYTES + 4), 3))
def test_every_flipped_bit_is_noticed(bit: int) -> None:
    data = bytearray(DATA)
    data[bit // 8] ^= 1 << bit % 8
    assert frame_at(memoryview(data), 0) is None
    assert frames_behind(bytes(data), 0) == 2


def test_a_frame_that_is_cut_is_none() -> None:
    whole = FRAME_BYTES + 4
    assert all(frame_at(memoryview(DATA)[:end], 0) is None for end in range(whole))
    assert frame_at(memoryview(DATA)[:whole], 0) is not None


@pytest.mark.parametrize("head", [Head(Position(0, 0), True), Head(Position(2**50, 2**60), False)])
def test_a_head_is_read_as_it_was_written_or_not_at_all(head: Head) -> None:
    data = head_bytes(head)
    assert read_head(data) == head
    for at in range(len(data)):
        assert read_head(data[:at]) is None
        assert read_head(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]) is None
