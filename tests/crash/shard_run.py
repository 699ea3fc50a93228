"""One shard of three replicas, clients that know what must be in it, and all that goes wrong; from a seed.

Every client writes rows of its own, so it knows in which states each may be: one after an acknowledged write, one more
for each write of which it could not learn whether it happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.answers import Failed, Unanswered
from actors.vectors.query import Level, Query, Tuning
from actors.vectors.replication.errors import Degraded, Fenced
from actors.vectors.rows import Floats, row_schema, vector_column
from actors.vectors.scatter import Shards
from control.specs.collection import CollectionSpec
from control.specs.replica import Assignment, Promise, Standing
from control.specs.vector_filter import EVERYTHING, And, In
from control.vectors.election import choose
from tests.crash.shard_process import Wire, serve

LEAST_WRITES, LEAST_BREAKS = 20, 3
CLIENTS, IDS = 3, 24
"""Each client has so many ids."""
TAGS = ("red", "green", "blue")
NAMES = ("r0", "r1", "r2")
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.crash.shard_process"])
State = tuple[int, str] | None
"""A row's value, which decides its vector too, and its tag; None for no row."""


def spec_of(kind: str) -> CollectionSpec:
    return CollectionSpec.model_validate(
        {
            "dimension": 4,
            "metric": "l2",
            "ids": "integer",
            "replicas": len(NAMES),
            "index": {"kind": kind},
            "fields": [
                {"name": "owner", "type": "integer"},
                {"name": "value", "type": "integer"},
                {"name": "tag", "type": "keyword"},
            ],
        }
    )


class ShardRun:
    """`arbiter` False: nobody changes leaders after the first one."""

    def __init__(self, place: Path, seed: int, *, arbiter: bool) -> None:
        self.place, self.random = place, Random(seed)
        self.spec = spec_of(self.random.choice(["flat", "flat", "hnsw"]))
        self.arbiter = arbiter
        self.processes: dict[str, BaseProcess] = {}
        self.wires = {name: Wire(place / f"{name}.sock") for name in NAMES}
        self.epoch, self.leader, self.configs = 0, "", [(0, NAMES)]
        self.states: dict[int, set[State]] = {number: {None} for number in range(CLIENTS * IDS)}
        self.value = 0
        self.kept_down = ""
        self.acknowledged = self.breaks = 0
        self.shards = Shards(self._table, self._call)

    async def trouble(self, seconds: float) -> None:
        """For so long, and on a busy machine until enough was acknowledged and broken.

        Raises AssertionError as soon as a client reads what cannot be.
        """
        for name in NAMES:
            self.start(name)
        while not all((self.place / f"{name}.sock").exists() for name in NAMES):
            await asyncio.sleep(0.01)
        while not await self.elect():
            await asyncio.sleep(0.02)
        work: list[Any] = [self._client(number) for number in range(CLIENTS)]
        work += [self._breaker(), self._restarter(), *([self._watcher()] if self.arbiter else [])]
        tasks = [asyncio.create_task(one) for one in (*work, self._enough(seconds))]
        done, _ = await asyncio.wait(tasks, timeout=30.0, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _enough(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while self.acknowledged < LEAST_WRITES or self.breaks < LEAST_BREAKS:
            await asyncio.sleep(0.02)

    async def peace(self) -> None:
        """All run, and hear each other; what is read at last is what the clients know, on each replica."""
        for name in NAMES:
            if not self.processes[name].is_alive():
                self.start(name)
            await self._quietly(name, "trouble", frozenset(), 0.0, 0)
        async with asyncio.timeout(30.0):
            while not await self._settled():
                await asyncio.sleep(0.05)
            tokens = (await self._write_last()).tokens
            for name in NAMES:
                await self._check_all(name, tokens)

    def start(self, name: str) -> None:
        process = _PROCESSES.Process(target=serve, args=(self.place, name, self.spec), daemon=True)
        process.start()
        self.processes[name] = process

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].join()

    def end(self) -> None:
        for name in NAMES:
            if name in self.processes:
                self.kill(name)

    # Clients

    async def _client(self, number: int) -> None:
        random = Random(self.random.random())
        own = range(number * IDS, (number + 1) * IDS)
        tokens: Mapping[int, int] = {}
        while True:
            try:
                tokens = await self._change(random, number, own)
                self.acknowledged += 1
            except Failed as error:
                if not error.unknown:
                    await asyncio.sleep(0.05)
            if random.random() < 0.3:
                with contextlib.suppress(Unanswered):
                    await self._look(random, own, tokens)

    async def _change(self, random: Random, number: int, own: range) -> Mapping[int, int]:
        """One write; what it makes possible, or certain, is noted before anybody reads it."""
        ids = sorted(random.sample(own, random.randint(1, 8)))
        what = random.random()
        tag = random.choice(TAGS)
        if what < 0.6:
            self.value += 1
            after: dict[int, set[State]] = {one: {(self.value, tag)} for one in ids}
            write = self.shards.upsert("c", self._rows(ids, number, self.value, tag), None, 1.0)
        elif what < 0.75:
            after = {one: {None if state is None else (state[0], tag) for state in self.states[one]} for one in ids}
            change = pa.record_batch({"id": pa.array(ids, pa.int64()), "tag": pa.array([tag] * len(ids))})
            write = self.shards.update("c", [change], None, 1.0)
        elif what < 0.9:
            after = {one: {None} for one in ids}
            write = self.shards.delete("c", pa.array(ids, pa.int64()), None, 1.0)
        else:
            after = {
                one: {None if state is None or state[1] == tag else state for state in self.states[one]} for one in own
            }
            where = And((In("owner", (number,)), In("tag", (tag,))))
            write = self.shards.delete_where("c", where, None, 1.0)
        try:
            receipt = await write
        except (Failed, asyncio.CancelledError) as error:
            if not isinstance(error, Failed) or error.unknown:
                for one, states in after.items():
                    self.states[one] |= states
            raise
        self.states.update(after)
        return receipt.tokens

    async def _look(self, random: Random, own: range, tokens: Mapping[int, int]) -> None:
        """Its own rows, with its token from any replica or fresh from the leader, are in a state that can be."""
        level = random.choice([Level.LOG, Level.QUORUM])
        before = {one: set(self.states[one]) for one in own}
        rows = await self.shards.fetch("c", pa.array(own, pa.int64()), ("value", "tag", "vector"), level, tokens, 1.0)
        self._compare(rows, own, before, f"read at {level.value}")

    def _compare(self, rows: pa.RecordBatch, ids: range, may: Mapping[int, set[State]], how: str) -> None:
        found = {row["id"]: row for row in rows.to_pylist()}
        for one in ids:
            row = found.get(one)
            state = None if row is None else (row["value"], row["tag"])
            assert state in may[one], f"{how}: row {one} is {state}, and can only be one of {may[one]}"
            if row is not None:
                assert np.allclose(row["vector"], _vector(row["value"], one)), f"{how}: row {one} has another's vector"

    def _rows(self, ids: list[int], owner: int, value: int, tag: str) -> pa.RecordBatch:
        vectors = np.stack([_vector(value, one) for one in ids])
        n = len(ids)
        columns = [
            pa.array(ids),
            vector_column(vectors),
            pa.array([owner] * n),
            pa.array([value] * n),
            pa.array([tag] * n),
        ]
        return pa.record_batch(columns, schema=row_schema(self.spec))

    async def _write_last(self) -> Any:
        """Behind all that could still happen."""
        while True:
            try:
                return await self.shards.delete("c", pa.array([-1], pa.int64()), "all", 5.0)
            except Failed:
                await asyncio.sleep(0.05)

    async def _check_all(self, name: str, tokens: Mapping[int, int]) -> None:
        """By its own answer: rows, counts, and exact searches."""
        shards = Shards(lambda: self._table_of((name,), name), self._call)
        everything = range(CLIENTS * IDS)
        columns = ("owner", "value", "tag", "vector")
        rows = await shards.fetch("c", pa.array(everything, pa.int64()), columns, Level.LOG, tokens)
        self._compare(rows, everything, self.states, f"at last on {name}")
        page = await shards.scroll("c", EVERYTHING, None, 1000, columns, Level.LOG, tokens)
        assert page.to_pylist() == rows.to_pylist()
        assert await shards.count("c", EVERYTHING, Level.LOG, tokens) == rows.num_rows
        for tag in TAGS:
            count = await shards.count("c", In("tag", (tag,)), Level.LOG, tokens)
            assert count == rows.column("tag").to_pylist().count(tag)
        queries = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
        found = await shards.search("c", Query(queries, 7, tuning=Tuning(exact=True), token=0), tokens)
        vectors = rows.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        distances = ((queries[:, None] - vectors[None]) ** 2).sum(-1)
        nearest = np.sort(distances, axis=1)[:, :7]
        assert found.hits.counts.tolist() == [nearest.shape[1]] * len(queries)
        assert np.allclose(-found.hits.scores.reshape(nearest.shape), nearest, atol=1e-3)

    # What goes wrong

    async def _breaker(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(0.02, 0.6))
            name = self.random.choice([*NAMES, self.leader])
            what = self.random.random()
            self.breaks += 1
            if what < 0.55:
                self.kill(name)
                self.kept_down = name
                others = [one for one in NAMES if one != name]
                may = self.arbiter or name != self.leader  # nobody else would lead
                if may and self.random.random() < 0.35 and await self._sound(others):
                    _damage(self.place / name, self.random)
                self.kept_down = ""
            elif what < 0.7:
                await self._quietly(name, "trouble", frozenset(self.random.sample(NAMES, 2)), 0.0, 0)
            elif what < 0.8:
                await self._quietly(name, "trouble", frozenset({"arbiter", *NAMES}), 0.0, 0)
            elif what < 0.9:
                await self._quietly(name, "trouble", frozenset(), self.random.uniform(0.0, 0.3), 0)
            else:
                await self._quietly(name, "trouble", frozenset(), 0.0, self.random.randint(1, 8 << 10))
            for one in self.random.sample(NAMES, 2):
                await self._quietly(one, "trouble", frozenset(), 0.0, 0)

    async def _sound(self, names: list[str]) -> bool:
        """They have all their data, and nobody leads who has to be asked first."""
        standings = [await self._quietly(name, "standing") for name in names]
        return all(isinstance(one, Standing) and not one.degraded and one.epoch == self.epoch for one in standings)

    async def _restarter(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            for name in NAMES:
                if name != self.kept_down and not self.processes[name].is_alive() and self.random.random() < 0.15:
                    self.start(name)

    # The arbiter

    async def _watcher(self) -> None:
        silent = 0
        while True:
            await asyncio.sleep(0.1)
            standing = await self._quietly(self.leader, "standing")
            well = isinstance(standing, Standing) and standing.leads and standing.reached
            silent = 0 if well else silent + 1
            if silent > 3:
                await self.elect()
                silent = 0

    async def elect(self) -> bool:
        self.epoch += 1
        heard = {number: await self._quietly(name, "promise", self.epoch) for number, name in enumerate(NAMES)}
        promises = {number: one for number, one in heard.items() if isinstance(one, Promise)}
        chosen = choose([(0, 1, 2)], promises, (0, 1, 2))
        if chosen is None:
            return False
        self.leader = NAMES[chosen]
        assignment = Assignment(self.epoch, self.leader, NAMES)
        for name in NAMES:
            await self._quietly(name, "lead" if name == self.leader else "follow", assignment)
        return True

    async def _settled(self) -> bool:
        for name in NAMES:
            if not self.processes[name].is_alive():  # it ended itself to begin anew
                self.start(name)
        standings = [await self._quietly(name, "standing") for name in NAMES]
        if not all(isinstance(one, Standing) for one in standings):
            return False
        leads = [one for one in standings if one.leads and one.epoch == self.epoch]
        if not leads or not leads[0].reached:
            await asyncio.sleep(0.6)
            standing = await self._quietly(self.leader, "standing")
            well = isinstance(standing, Standing) and standing.leads and standing.reached
            if not well or standing.epoch != self.epoch:  # the last one was asked for, and nobody leads in it
                await self.elect()
            return False
        return not any(one.degraded for one in standings)

    # Calls

    def _table(self) -> Mapping[str, Any]:
        return self._table_of(NAMES, self.leader)

    def _table_of(self, members: tuple[str, ...], leader: str) -> Mapping[str, Any]:
        shard = {"shard": 0, "epoch": self.epoch, "leader": leader, "members": list(members)}
        return {"c": {"life": "1", "spec": self.spec.model_dump(mode="json"), "shards": [shard]}}

    async def _call(self, actor: str, method: str, *words: Any) -> Any:
        return await self.wires[actor].call("client", method, *words)

    async def _quietly(self, name: str, method: str, *words: Any) -> Any:
        """None where it does not answer."""
        with contextlib.suppress(ConnectionError, TimeoutError, Fenced, Degraded, OSError):
            async with asyncio.timeout(0.5):
                return await self.wires[name].call("arbiter", method, *words)
        return None


def _vector(value: int, number: int) -> Floats:
    return np.random.default_rng((value, number)).normal(size=4).astype(np.float32)


def _damage(directory: Path, random: Random) -> None:
    """A file of the log or of a segment is cut, or a bit of it flips."""
    files = [path for path in directory.rglob("*") if path.suffix not in (".json",) and path.is_file()]
    files = sorted(path for path in files if path.name not in ("mark", "lock") and path.stat().st_size)
    if not files:
        return
    path = random.choice(files)
    data = bytearray(path.read_bytes())
    at = random.randrange(len(data))
    if random.random() < 0.5:
        data[at] ^= 1 << random.randrange(8)
        path.write_bytes(data)
    else:
        path.write_bytes(data[:at])
