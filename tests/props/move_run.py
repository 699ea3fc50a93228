"""A collection whose number of shards changes, in virtual time: replicas, network, clients, and an arbiter that has a
store, with everything that can go wrong. Each client knows from its own dictionary what its rows may be.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.answers import Failed, Unanswered, UnknownCollection
from actors.vectors.changes import from_bytes, to_bytes
from actors.vectors.entry import Kind
from actors.vectors.query import Level
from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.reads import admit
from actors.vectors.replication.standing import standing_of
from actors.vectors.replication.writer import Write
from actors.vectors.routing import shard_of
from actors.vectors.rows import ID, VECTOR, row_schema, vector_column
from actors.vectors.scatter import Shards
from control.kernel.ids import ReplicaName
from control.specs.collection import CollectionSpec
from control.specs.replica import Assignment, Promise, Standing
from control.vectors.election import choose
from control.vectors.layouts import is_ready, layouts_of, turn_of
from control.vectors.state import Collection, Phase, Shard
from control.vectors.table import table_of
from tests.fakes.row_shard import RowShard
from tests.fakes.virtual_time import VirtualLoop
from tests.props.replication_readers import REFUSALS
from tests.props.replication_run import Node, Run, _remembering

SPEC = CollectionSpec(dimension=2, ids="integer", replicas=3)
NAME, LIFE, REPLICAS = "c", "x", (0, 1, 2)
ROWS = 12
"""Of each client."""
SECONDS = 25.0
"""Of trouble; then all is well, and the collection must become as it is wanted."""
GONE = -1
"""The version of a row that there is not."""


class MoveRun(Run):
    """`wanted` are the numbers of shards, one after the other."""

    spec = SPEC

    def __init__(self, seed: int, *wanted: int) -> None:
        super().__init__(seed)
        self.random = Random(seed)
        self.loop = VirtualLoop(self.random, 0.003)
        self.loop.set_task_factory(_remembering)
        self.nodes = {}
        self.wanted, self.served = list(wanted), set[int]()
        self.models: list[dict[int, set[int]]] = []
        self.loss, self.slow = self.random.choice([0.0, 0.0, 0.05]), self.random.choice([0.005, 0.02, 0.1])
        self.calm = self.random.choice([1.0, 3.0, 10.0])
        self.shards: dict[int, Shard] = {}
        self.told: dict[str, Assignment] = {}
        self.epochs: dict[int, int] = {}
        self.published: Mapping[str, Any] = {}
        self.written, self.versions, self.pause = 0, 0, 0.0

    async def _story(self) -> None:
        parts = self.wanted[0]
        for number in range(parts):
            self._put(Shard(f"{NAME}.{number}", NAME, LIFE, number, parts=parts, spent=parts))
        troubled = [self._client(number) for number in range(3)]
        jobs = [*troubled, self._mover(), self._killer(), self._walls(), self._changes()]
        tasks = [self.loop.create_task(one) for one in jobs]
        done, _ = await asyncio.wait(tasks, timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        self.walls, self.loss, self.slow, self.wanted_now = set(), 0.0, 0.005, self.wanted[-1]
        for task in tasks[len(troubled) + 1 :]:
            task.cancel()
        for node in self.nodes.values():
            node.log.full = False
            if node.core is None:
                self.boot(node)
        async with asyncio.timeout(120.0):
            while len(self.shards) != self.wanted[-1] or any(one.filled < 0 for one in self.shards.values()):
                await asyncio.sleep(0.5)
                for task in tasks[: len(troubled) + 1]:
                    assert not task.done(), task.result()
        await asyncio.sleep(5.0)
        self.over = True
        await asyncio.gather(*tasks[: len(troubled)])
        shards, tokens = Shards(lambda: self.published, self._call), dict[int, int]()
        async with asyncio.timeout(60.0):
            for allowed in self.models:
                while not await self._read(shards, sorted(allowed), allowed, tokens, Level.QUORUM):
                    await asyncio.sleep(0.5)
        tasks[len(troubled)].cancel()
        self._check_parts()

    def _check_parts(self) -> None:
        """No row is left where it does not belong: it would be counted twice."""
        for shard in self.shards.values():
            core = self.nodes[str(shard.called(shard.leader or 0))].core
            assert core is not None
            ids = pa.array(core.machine.shard.rows, pa.int64())  # type: ignore[attr-defined]
            assert set(shard_of(ids, shard.parts)) <= {shard.part}

    # Clients

    async def _client(self, number: int) -> None:  # type: ignore[override]
        """Writes its own rows one after the other, and reads what it may then see."""
        shards = Shards(lambda: self.published, self._call)
        refreshing = self.loop.create_task(shards.table.run())
        allowed: dict[int, set[int]] = {one: {GONE} for one in range(number * ROWS, (number + 1) * ROWS)}
        tokens: dict[int, int] = {}
        self.models.append(allowed)
        try:
            while not self.over:
                some = self.random.sample(sorted(allowed), self.random.randint(1, 4))
                if self.random.random() < 0.3:
                    await self._read(shards, some, allowed, tokens, self.random.choice([Level.QUORUM, Level.LOG]))
                else:
                    await self._change(shards, some, allowed, tokens)
                await asyncio.sleep(self.random.expovariate(10.0))
        finally:
            refreshing.cancel()

    async def _change(
        self, shards: Shards, some: list[int], allowed: dict[int, set[int]], tokens: dict[int, int]
    ) -> None:
        self.versions += 1
        version = GONE if self.random.random() < 0.3 else self.versions
        began, seconds = self.loop.time(), self.random.choice([1.0, 20.0])
        try:
            if version == GONE:
                receipt = await shards.delete(NAME, pa.array(some, pa.int64()), "quorum", seconds)
            else:
                receipt = await shards.upsert(NAME, rows(some, version), "quorum", seconds)
        except (Failed, UnknownCollection):
            for one in some:
                allowed[one].add(version)
            return
        for one in some:
            allowed[one] = {version}
        for shard, token in receipt.tokens.items():
            tokens[shard] = max(token, tokens.get(shard, 0))
        self.written += 1
        self.pause = max(self.pause, self.loop.time() - began)

    async def _read(
        self, shards: Shards, some: list[int], allowed: dict[int, set[int]], tokens: dict[int, int], level: Level
    ) -> bool:
        """Whether there was an answer."""
        try:
            found = await shards.fetch(NAME, pa.array(some, pa.int64()), (VECTOR,), level, tokens, 5.0)
        except (Unanswered, UnknownCollection):
            return False
        has = dict(zip(found[ID].to_pylist(), (int(one[0]) for one in found[VECTOR].to_pylist()), strict=True))
        for one in some:
            seen = has.get(one, GONE)
            assert seen in allowed[one], f"row {one} is {seen}, expected one of {allowed[one]} ({level})"
        self.reads += level is Level.QUORUM
        return True

    async def _call(self, actor: str, method: str, *words: Any) -> Any:
        """A client's call is heard once, or never."""
        if actor not in self.nodes:
            raise ConnectionError("it is gone")
        if self.random.random() < self.loss:
            await asyncio.sleep(2.0)
            raise ConnectionError("it is lost")
        loss, self.loss = self.loss, 0.0
        try:
            sent: Any = self.send("client", actor, lambda core: METHODS[method](core, *words), float(words[-1]) + 1.0)
            task = self.loop.create_task(sent)
            await asyncio.sleep(0)
        finally:
            self.loss = loss
        return await task

    # Trouble

    async def _changes(self) -> None:
        for wanted in self.wanted[1:-1]:
            await asyncio.sleep(self.random.choice([0.3, 3.0, 12.0]))
            self.wanted_now = wanted
        await asyncio.sleep(self.random.choice([0.3, 3.0]))
        self.wanted_now = self.wanted[-1]

    wanted_now, over = 0, False

    # The arbiter

    async def _mover(self) -> None:
        """One pass of vectors control after the other."""
        self.wanted_now = self.wanted[0]
        ended: dict[int, float] = {}
        while True:
            now = self.loop.time()
            standings = await self._standings()
            for shard in list(self.shards.values()):
                self._look(shard, standings)
            layouts = layouts_of(self.shards.values())
            live = (*layouts.serving, *layouts.filling)
            ready = all(self._ready(shard, standings, shard in layouts.serving) for shard in live)
            if turn := turn_of(layouts, self.shards.values(), self.wanted_now, ready, now):
                for shard in turn.shards:
                    self._put(shard)
            layouts = layouts_of(self.shards.values())
            self.served.add(layouts.serving[0].layout)
            spec = SPEC.model_copy(update={"shards": self.wanted_now})
            self.published = table_of([Collection(NAME, LIFE, 1, 1, spec)], self.shards.values())
            for shard in self.shards.values():
                if shard not in (*layouts.serving, *layouts.filling):
                    ended.setdefault(shard.number, now)
            for number in [one for one, since in ended.items() if now - since > 4.0 and one in self.shards]:
                self._end(self.shards.pop(number))
            await asyncio.gather(*(self._orders(shard, standings) for shard in (*layouts.serving, *layouts.filling)))
            await asyncio.sleep(self.random.uniform(0.05, 0.5))

    def _put(self, shard: Shard) -> None:
        shard = replace(shard, members=shard.members or REPLICAS, generation=shard.generation + 1)
        self.shards[shard.number] = shard
        if shard.phase is not Phase.ENDING:
            for number in REPLICAS:
                name = str(shard.called(number))
                if name not in self.nodes:
                    self.nodes[name] = Node(name)
                    self.boot(self.nodes[name])

    def _end(self, shard: Shard) -> None:
        for number in REPLICAS:
            self.crash(self.nodes.pop(str(shard.called(number))))

    async def _standings(self) -> dict[str, Standing]:
        names = list(self.nodes)
        asks = [self.send("arbiter", name, _standing, 0.5) for name in names]
        heard = await asyncio.gather(*asks, return_exceptions=True)
        return {name: one for name, one in zip(names, heard, strict=True) if isinstance(one, Standing)}

    def _of_leader(self, shard: Shard, standings: Mapping[str, Standing]) -> Standing | None:
        standing = None if shard.leader is None else standings.get(str(shard.called(shard.leader)))
        return standing if standing and standing.leads and standing.epoch == shard.epoch else None

    def _ready(self, shard: Shard, standings: Mapping[str, Standing], serves: bool) -> bool:
        standing = self._of_leader(shard, standings)
        return standing is not None and standing.reached and (serves or is_ready(standing.filling))

    def _look(self, shard: Shard, standings: Mapping[str, Standing]) -> None:
        standing = self._of_leader(shard, standings)
        if shard.filled >= 0 or not shard.attempt or standing is None or standing.committed_epoch != shard.epoch:
            return
        if standing.filling and standing.filling.filled == shard.attempt:
            self._put(replace(shard, filled=standing.filling.position))

    async def _orders(self, shard: Shard, standings: Mapping[str, Standing]) -> None:
        standing = self._of_leader(shard, standings)
        lost = standing is None or not standing.reached
        if (lost and self.random.random() < 0.2) or self.random.random() < 0.01 / self.calm or shard.leader is None:
            await self._choose(shard)
            shard = self.shards[shard.number]
        if shard.leader is None:
            return
        move = layouts_of(self.shards.values()).move_of(shard)
        members = tuple(str(shard.called(one)) for one in REPLICAS)
        tell = Assignment(shard.epoch, members[shard.leader], members, (), shard.generation, move)
        await asyncio.gather(*(self._tell(one, tell) for one in members if self.told.get(one) != tell))

    async def _choose(self, shard: Shard) -> None:
        epoch = self.epochs[shard.number] = self.epochs.get(shard.number, 0) + 1
        names = [str(shard.called(one)) for one in REPLICAS]
        ask = [self.send("arbiter", name, lambda core: core.promise(epoch), 0.5) for name in names]
        heard = await asyncio.gather(*ask, return_exceptions=True)
        promises = {one: heard[one] for one in REPLICAS if isinstance(heard[one], Promise)}
        leader = choose([REPLICAS], promises, self.random.sample(REPLICAS, 3))  # type: ignore[arg-type]
        if leader is not None:
            self._put(replace(shard, epoch=epoch, phase=Phase.SERVING, leader=leader))

    async def _tell(self, name: str, assignment: Assignment) -> None:
        self.told.pop(name, None)
        with contextlib.suppress(*REFUSALS, OSError):
            method = ReplicaCore.lead if name == assignment.leader else ReplicaCore.follow
            await self.send("arbiter", name, lambda core: method(core, assignment), 0.5)
            self.told[name] = assignment

    def boot(self, node: Node) -> None:
        if node.name in self.nodes:
            self.told.pop(node.name, None)
            super().boot(node)

    def _new_shard(self, node: Node) -> Any:
        return RowShard(SPEC)


def rows(ids: list[int], version: int) -> pa.RecordBatch:
    vectors = vector_column(np.full((len(ids), 2), version, np.float32))
    return pa.record_batch([pa.array(ids, pa.int64()), vectors], schema=row_schema(SPEC))


async def _standing(core: ReplicaCore) -> Standing:
    return standing_of(core, 1)


async def _upsert(core: ReplicaCore, body: bytes, level: Any, seconds: float) -> tuple[int, int]:
    return await core.write(Write((Kind.UPSERT, body), len(body)), level, seconds), 1


async def _delete(core: ReplicaCore, body: bytes, level: Any, seconds: float) -> tuple[int, int]:
    return await core.write(Write((Kind.DELETE, body), len(body)), level, seconds), 1


async def _fetch(core: ReplicaCore, ids: bytes, columns: Any, level: Level, token: int, seconds: float) -> bytes:
    await admit(core, level, token, seconds)
    return to_bytes(core.machine.shard.view.fetch(from_bytes(ids).column(ID), columns))


METHODS: Mapping[str, Callable[..., Coroutine[Any, Any, Any]]] = {"upsert": _upsert, "delete": _delete, "fetch": _fetch}
assert ReplicaName(NAME, LIFE, 0, 0)
