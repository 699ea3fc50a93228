"""Readers of the simulated shard that know what they must see."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from actors.vectors.query import Level
from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.errors import (
    Behind,
    Degraded,
    Fenced,
    NoQuorum,
    NotLeader,
    Refused,
    Starting,
    Unknown,
)
from actors.vectors.replication.reads import admit

if TYPE_CHECKING:
    from tests.props.replication_run import Run

UNABLE = (Behind, Degraded, Fenced, NoQuorum, NotLeader, Refused, Starting, Unknown)
REFUSALS = (*UNABLE, ConnectionError, TimeoutError)


async def fresh_reader(run: Run) -> None:
    """Of whoever leads, or believes so."""
    while True:
        await asyncio.sleep(run.random.expovariate(5.0))
        name = run.leader if run.random.random() < 0.7 else run.random.choice(list(run.nodes))
        if not name:
            continue

        async def call(core: ReplicaCore) -> None:
            before = set(run.tokens)
            await admit(core, Level.QUORUM, 0, 1.0)
            seen = {entry.body for entry in core.machine.shard.entries}  # type: ignore[attr-defined]
            assert before <= seen, f"a fresh read does not see {before - seen}"
            run.reads += 1

        with contextlib.suppress(*REFUSALS):
            await run.send("client", name, call)


async def own_reader(run: Run) -> None:
    """Of any replica, with the token of a write."""
    while True:
        await asyncio.sleep(run.random.expovariate(5.0))

        async def call(core: ReplicaCore) -> None:
            body, token = run.random.choice(list(run.tokens.items()))
            await admit(core, Level.LOG, token, 1.0)
            seen = [entry.body for entry in core.machine.shard.entries[token - 1 : token]]  # type: ignore[attr-defined]
            assert seen == [body], f"a read with the token of {body!r} sees {seen}"
            run.own_reads += 1

        if run.tokens:
            with contextlib.suppress(*REFUSALS):
                await run.send("client", run.random.choice(list(run.nodes)), call)
