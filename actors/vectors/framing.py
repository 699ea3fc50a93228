"""How an entry of a log looks on disk, and how a file of the log begins. Pure functions over bytes.

A frame is a mark, the length of its body, a CRC-32 of all that follows it, then epoch, sequence number, kind and body.
The mark is there so that frames behind a damaged one can be found and counted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from actors.vectors.entry import Entry, Kind, Position

_MARK = b"\xb1\xf7E\x1a"
_FRAME = struct.Struct("<4sIIQQB")  # mark, length of the body, CRC, epoch, seq, kind
_CHECKED = 12
"""Where in a frame, and in a head, the part begins that its CRC is of. A frame's length is in its CRC as the first
value.
"""
_MAGIC = b"BIPLOG1\n"
_HEAD = struct.Struct("<8sIQQB")  # magic, CRC, epoch and seq of the entry before the file, whether all before is void
HEAD_BYTES = _HEAD.size
FRAME_BYTES = _FRAME.size
"""Of a frame whose entry has no body."""
_KINDS = {int(kind): kind for kind in Kind}


@dataclass(frozen=True)
class Head:
    """`before` is the position of the entry before the file's first. With `fresh` all earlier files are void."""

    before: Position
    fresh: bool


@dataclass(frozen=True)
class Frame:
    """Where a valid frame lies in its file, and what is in it apart from the body."""

    start: int
    end: int
    epoch: int
    seq: int
    kind: Kind


def head_bytes(head: Head) -> bytes:
    rest = struct.pack("<QQB", head.before.epoch, head.before.seq, head.fresh)
    return _MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


def read_head(data: bytes) -> Head | None:
    """None where the file does not begin as one of a log does."""
    if len(data) < HEAD_BYTES:
        return None
    magic, crc, epoch, seq, fresh = _HEAD.unpack_from(data)
    if magic != _MAGIC or crc != zlib.crc32(data[_CHECKED:HEAD_BYTES]):
        return None
    return Head(Position(epoch, seq), bool(fresh))


def frame_bytes(entry: Entry) -> tuple[bytes, bytes]:
    """The frame's beginning and the body, to be written one after the other."""
    rest = struct.pack("<QQB", entry.epoch, entry.seq, entry.kind)
    crc = zlib.crc32(entry.body, zlib.crc32(rest, len(entry.body)))
    return _MARK + struct.pack("<II", len(entry.body), crc) + rest, entry.body


def frame_at(data: memoryview, start: int) -> Frame | None:
    """The frame that begins at `start`, or None where there is no valid one."""
    if len(data) - start < FRAME_BYTES:
        return None
    mark, length, crc, epoch, seq, kind = _FRAME.unpack_from(data, start)
    end = start + FRAME_BYTES + length
    if mark != _MARK or end > len(data) or kind not in _KINDS:
        return None
    if zlib.crc32(data[start + _CHECKED : end], length) != crc:
        return None
    return Frame(start, end, epoch, seq, _KINDS[kind])


def frames(data: memoryview, start: int) -> Iterator[Frame]:
    """The valid frames from `start` on, up to the first place where there is none."""
    while (frame := frame_at(data, start)) is not None:
        yield frame
        start = frame.end


def frames_behind(data: bytes, start: int) -> int:
    """How many valid frames there are behind a damaged place, wherever they begin."""
    count, view = 0, memoryview(data)
    while (start := data.find(_MARK, start)) >= 0:
        frame = frame_at(view, start)
        count += frame is not None
        start = frame.end if frame else start + 1
    return count


def entry_of(data: memoryview, frame: Frame) -> Entry:
    return Entry(frame.epoch, frame.seq, frame.kind, bytes(data[frame.start + FRAME_BYTES : frame.end]))
