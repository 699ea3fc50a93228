"""How much memory an Arrow IPC stream takes once it is unpacked, by its headers: before anything is unpacked. Pure.

A header is a FlatBuffers table (format/Message.fbs of Arrow). Its numbers are a client's: whatever they say, no more is
read than what is there, and pyarrow checks them again.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import pyarrow as pa

_TYPE, _HEADER = 1, 2
"""Fields of a Message."""
_DICTIONARY, _BATCH = 2, 3
"""Types of headers that have buffers; the batch of a dictionary is its field 1."""
_BUFFERS, _COMPRESSION = 2, 3
"""Fields of a RecordBatch."""


class _Table(NamedTuple):
    data: bytes
    at: int

    def field(self, number: int) -> int:
        """Where it is; 0 for none."""
        (back,) = struct.unpack_from("<i", self.data, self.at)
        entry = self.at - back + 4 + 2 * number
        (size,) = struct.unpack_from("<H", self.data, self.at - back)
        (offset,) = struct.unpack_from("<H", self.data, entry) if 4 + 2 * number < size else (0,)
        return self.at + offset if offset else 0

    def follow(self, number: int) -> int:
        """Where that lies which it refers to."""
        place = self.field(number)
        return place + int(struct.unpack_from("<I", self.data, place)[0])


def unpacked(body: bytes) -> int:
    """Bytes of all buffers together. ValueError or pa.ArrowException for what is no stream."""
    size = 0
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
            if message.body is not None:
                size += _of(message.metadata.to_pybytes(), message.body)
    except (struct.error, IndexError) as error:
        raise ValueError(f"a header leads out of itself: {error}") from None
    return size


def _of(metadata: bytes, body: pa.Buffer) -> int:
    root = _Table(metadata, *struct.unpack_from("<I", metadata))
    kind, batch = metadata[root.field(_TYPE)], _Table(metadata, root.follow(_HEADER))
    if kind == _DICTIONARY:
        batch = _Table(metadata, batch.follow(1))
    elif kind != _BATCH:
        return 0
    start = batch.follow(_BUFFERS)
    (count,) = struct.unpack_from("<I", metadata, start)
    if not batch.field(_COMPRESSION):
        return int(body.size)
    data, size = memoryview(body), 0
    for number in range(count):
        offset, length = struct.unpack_from("<qq", metadata, start + 4 + 16 * number)
        (said,) = struct.unpack_from("<q", data, offset) if length else (0,)
        size += max(said, length)  # -1 says that it is not packed
    return size
