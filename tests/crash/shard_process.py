"""A replica of a shard as a process of its own, without Ray: calls come over a socket, to be killed at any moment.

Everything that happens rarely happens often here: files of the log and segments are small, leases short.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import resource
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.vectors import contents, log, shard
from actors.vectors.replica_calls import ReplicaCalls
from actors.vectors.replication import feeder, leading, progress
from actors.vectors.replication.messages import Append, Appended, Copy, Page, Tail
from control.specs.collection import CollectionSpec

LEASE, QUIET = 0.4, 0.5
_LENGTH = struct.Struct("<I")


@dataclass
class Trouble:
    """`walls` are those whose calls are refused; calls of replicas wait for `slow` seconds."""

    walls: frozenset[str] = frozenset()
    slow: float = 0.0


class Wire:
    """One connection for all calls of one process to another; they begin in the order in which they were made.

    Every call raises what was raised there, or ConnectionError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._turn = asyncio.Lock()

    async def call(self, sender: str, method: str, *words: Any) -> Any:
        async with self._turn:
            if self._writer is None:
                try:
                    reader, self._writer = await asyncio.open_unix_connection(str(self._path))
                except OSError as error:
                    raise ConnectionError(f"{self._path.name} is dead") from error
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            self._number += 1
            number = self._number
            answer = self._answers[number] = asyncio.get_running_loop().create_future()
            send(self._writer, (number, sender, method, words))
        try:
            good, value = await answer
        finally:
            self._answers.pop(number, None)
        if not good:
            raise value
        return value

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number, good, value = await receive(reader)
                if number in self._answers and not self._answers[number].done():
                    self._answers[number].set_result((good, value))
        writer.close()
        self._writer = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError(f"{self._path.name} died"))


@dataclass(frozen=True)
class Peer:
    wire: Wire
    me: str

    async def append(self, request: Append) -> Appended:
        return await self.wire.call(self.me, "peer", "append", pickle.dumps(request))  # type: ignore[no-any-return]

    async def copy(self) -> Copy:
        return await self.wire.call(self.me, "peer", "copy", pickle.dumps(None))  # type: ignore[no-any-return]

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes:
        body = pickle.dumps((number, name, offset, size))
        return await self.wire.call(self.me, "peer", "chunk", body)  # type: ignore[no-any-return]

    async def end_copy(self, number: int) -> None:
        await self.wire.call(self.me, "peer", "end_copy", pickle.dumps(number))

    async def page(self, *words: Any) -> Page:
        return await self.wire.call(self.me, "peer", "page", pickle.dumps(words))  # type: ignore[no-any-return]

    async def tail(self, *words: Any) -> Tail:
        return await self.wire.call(self.me, "peer", "tail", pickle.dumps(words))  # type: ignore[no-any-return]


def send(writer: asyncio.StreamWriter, message: object) -> None:
    body = pickle.dumps(message)
    writer.write(_LENGTH.pack(len(body)) + body)


async def receive(reader: asyncio.StreamReader) -> Any:
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return pickle.loads(await reader.readexactly(size))


def _hurry() -> None:
    """In this process alone: the tests' own has the constants that there are."""
    progress.LEASE_SECONDS = LEASE
    progress.QUIET_SECONDS = leading.QUIET_SECONDS = QUIET  # type: ignore[attr-defined]
    feeder.BEAT_SECONDS, feeder.ANSWER_SECONDS, leading._BACK_SECONDS = LEASE / 5, 2.5 * LEASE, LEASE / 10
    log.FILE_BYTES = 8 << 10
    contents.SEAL_BYTES, shard.RECEIPT_BYTES = 2 << 10, 8 << 10


def serve(place: Path, name: str, spec: CollectionSpec) -> None:
    """Until it is killed."""
    _hurry()
    asyncio.run(_serve(place, name, spec))


async def _serve(place: Path, name: str, spec: CollectionSpec) -> None:
    os.nice(1)
    wires: dict[str, Wire] = {}

    def peer(other: str) -> Peer:
        wire = wires.setdefault(other, Wire(place / f"{other}.sock"))
        return Peer(wire, name)

    calls = ReplicaCalls(name, place / name, spec, 1, peer)
    trouble = Trouble()

    async def answer(writer: asyncio.StreamWriter, number: int, sender: str, method: str, words: Any) -> None:
        try:
            if sender in trouble.walls and method != "trouble":
                return  # nobody hears it
            if method == "trouble":
                trouble.walls, trouble.slow = words[0], words[1]
                _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (words[2] if words[2] else hard, hard))
                value: Any = None
            else:
                if trouble.slow and method == "peer":
                    await asyncio.sleep(trouble.slow)
                value = await getattr(calls, method)(*words)
            send(writer, (number, True, value))
        except Exception as error:
            send(writer, (number, False, error))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks = set()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                task = asyncio.create_task(answer(writer, *await receive(reader)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    path = place / f"{name}.sock"
    path.unlink(missing_ok=True)
    async with await asyncio.start_unix_server(connected, str(path)):
        await calls.failed()
    os._exit(1)
