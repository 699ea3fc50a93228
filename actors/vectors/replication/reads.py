"""When a replica may answer a read: how much of the log it must have applied, and whether it must still lead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from actors.vectors.query import Level
from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.errors import Behind, Degraded, Moved, NoQuorum, Refused, Starting, Unaware
from actors.vectors.rows import ID, VECTOR
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import Filter, fields_of


def knows(spec: CollectionSpec, where: Filter, columns: Iterable[str] = ()) -> None:
    """Raises Unaware where the replica has not been told of a field that is asked for."""
    for name in (*fields_of(where), *columns):
        if name not in (ID, VECTOR) and spec.field(name) is None:
            raise Unaware(name)


async def admit(core: ReplicaCore, level: Level, token: int, seconds: float) -> None:
    """Returns when what the replica has applied is enough.

    Raises Degraded, Starting, Behind where that takes longer than `seconds`, and for QUORUM NotLeader, NoQuorum and
    Moved.
    """
    if core.machine.lacks:
        raise Degraded(core.machine.lacks)
    if level is Level.INDEXED:
        return
    if level is Level.LOG:
        if core.machine.starting:
            raise Starting
        await _applied(core, max(token, core.machine.floor), seconds)
        return
    try:
        leading = core.leader()
        async with asyncio.timeout(seconds):
            wanted = max(token, core.machine.floor, await leading.fresh())
            await core.machine.applied.reach(wanted)
        leading.confirm()
        if core.state.move.closed:
            raise Moved
    except TimeoutError:
        raise NoQuorum(f"not read within {seconds:g} s: {leading.lacks()}") from None
    except Refused as error:
        raise NoQuorum(str(error)) from None


async def _applied(core: ReplicaCore, wanted: int, seconds: float) -> None:
    if core.machine.applied.value >= wanted:
        return
    try:
        async with asyncio.timeout(seconds):
            await core.machine.applied.reach(wanted)
    except TimeoutError:
        raise Behind(wanted, core.machine.applied.value) from None
