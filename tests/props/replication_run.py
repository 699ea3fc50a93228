"""A shard's replicas, their network, clients and an arbiter in virtual time, with everything that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from actors.vectors.entry import Entry, Kind
from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.feeding import page, tail
from actors.vectors.replication.hard_state import HardState
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.messages import Append, Appended, Copy, Page, Tail
from actors.vectors.replication.term import epoch_of
from actors.vectors.replication.writer import Write
from control.specs.collection import Acknowledgement, CollectionSpec
from control.specs.replica import Assignment, Promise
from control.vectors.election import choose
from tests.fakes.vector_log import MemoryLog, MemoryMark, MemoryShard
from tests.fakes.virtual_time import VirtualLoop
from tests.props.replication_readers import REFUSALS, fresh_reader, own_reader

SECONDS = 20.0
"""Of trouble; then all is well, and must be again."""
_HOME: ContextVar[Node | None] = ContextVar("home", default=None)
T = TypeVar("T")


class MemoryJournal(Journal):
    def __init__(self, node: Node, committed: int) -> None:
        super().__init__(Path("/"), cast(Any, node.log), cast(Any, node.mark), committed)
        self._node = node

    async def save(self, state: HardState) -> None:
        def save() -> None:
            if self._node.log.full:
                raise OSError(28, "No space left on device")
            self._node.state = state

        await self._run(save)


@dataclass(eq=False)
class Node:
    name: str
    log: MemoryLog = field(default_factory=MemoryLog)
    mark: MemoryMark = field(default_factory=MemoryMark)
    state: HardState = field(default_factory=HardState)
    shard: MemoryShard = field(default_factory=MemoryShard)
    core: ReplicaCore | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)


@dataclass(frozen=True)
class Wire:
    """From one node to another."""

    run: Run
    sender: str
    receiver: str

    async def append(self, request: Append) -> Appended:
        return await self.run.send(self.sender, self.receiver, lambda core: core.append(request))

    async def copy(self) -> Copy:
        raise ConnectionError

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes:
        raise ConnectionError

    async def end_copy(self, number: int) -> None:
        raise ConnectionError

    async def page(self, part: int, parts: int, after: int | str | None, seq: int) -> Page:
        return await self.run.send(self.sender, self.receiver, lambda core: page(core, part, parts, after, seq))

    async def tail(self, after: int, attempt: int) -> Tail:
        return await self.run.send(self.sender, self.receiver, lambda core: tail(core, after, attempt))


class Run:
    """`history` has every entry that anybody applied; it raises AssertionError as soon as two differ."""

    spec = CollectionSpec(dimension=2)

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.loop = VirtualLoop(self.random, 0.01)
        self.loop.set_task_factory(_remembering)
        self.count = self.random.choice([1, 2, 3, 3, 3, 5])
        names = [f"r{number}" for number in range(self.count + 1)]
        self.nodes = {name: Node(name) for name in names}
        self.epoch, self.leader, self.members, self.former = 0, "", tuple(names[:-1]), ""
        self.configs: list[tuple[int, tuple[str, ...]]] = []
        self.walls: set[frozenset[str]] = set()
        self.loss, self.slow = self.random.choice([0.0, 0.05, 0.2]), self.random.choice([0.005, 0.05, 0.3])
        self.calm = self.random.choice([1.0, 3.0, 10.0])
        """How much rarer trouble is."""
        self.wrong: list[str] = []
        self._alarm = asyncio.Event()
        self.history: dict[int, Entry] = {}
        self.sent = 0
        self.acknowledged: dict[bytes, Acknowledgement] = {}
        self.last_epoch = 0
        self.tokens: dict[bytes, int] = {}
        """Of writes that a quorum acknowledged."""
        self.reads = self.own_reads = 0

    def go(self) -> None:
        try:
            self.loop.run_until_complete(self._story())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            with contextlib.suppress(RuntimeError):
                self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    async def _story(self) -> None:
        for node in self.nodes.values():
            self.boot(node)
        trouble = [self.loop.create_task(one) for one in (*(self._client() for _ in range(4)), self._stale_client())]
        trouble += [
            self.loop.create_task(one)
            for one in (fresh_reader(self), own_reader(self), self._arbiter(), self._killer(), self._walls())
        ]
        done, _ = await asyncio.wait(trouble, timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        for task in trouble:
            task.cancel()
        for task in done:
            task.result()
        await self._peace()
        assert not self.wrong, self.wrong[0]

    async def _peace(self) -> None:
        """A leader is found, acknowledges, and has all that was acknowledged."""
        self.walls, self.loss, self.slow = set(), 0.0, 0.005
        for node in self.nodes.values():
            node.log.full = False
            if node.core is None:
                self.boot(node)
        async with asyncio.timeout(60.0):
            while not await self._elect() or not await self._write(self.leader, b"the last", "quorum", 5.0):
                await asyncio.sleep(0.5)
            core = self.nodes[self.leader].core
            assert core is not None
            await core.machine.applied.reach(core.journal.committed)
        bodies = {entry.body for entry in self.nodes[self.leader].shard.entries}
        for body in self.tokens:
            assert body in bodies, f"{body!r} was acknowledged by {self.acknowledged[body]}, and is lost"

    # Processes

    def boot(self, node: Node) -> None:
        node.log.crash(self.random)
        lost = node.log.last < node.mark.synced
        if lost:
            node.mark.note(synced=node.log.last)
        node.state = node.state.begin_again(lost)
        committed = min(node.mark.committed, node.log.last.seq)
        shard = self._new_shard(node)
        journal = MemoryJournal(node, committed)
        context = copy_context()
        context.run(_HOME.set, node)
        core = node.core = context.run(
            ReplicaCore, node.name, Path("/"), self.spec, lambda name: Wire(self, node.name, name), -1, node.state,
            journal, shard,
        )  # fmt: skip
        context.run(core.start)

    def crash(self, node: Node) -> None:
        for task in node.tasks:
            task.cancel()
        node.tasks = set()
        node.core = None

    def _new_shard(self, node: Node) -> Any:
        node.shard = shard = MemoryShard()
        apply = shard.apply

        def watch(entries: list[Entry]) -> None:
            for entry in entries:
                if self.history.setdefault(entry.seq, entry) != entry:
                    self.wrong.append(f"two histories: {self.history[entry.seq]} and {entry}")
            apply(entries)

        shard.apply = watch  # type: ignore[assignment, method-assign]
        return shard

    # The network

    async def send(
        self, sender: str, receiver: str, call: Callable[[ReplicaCore], Coroutine[Any, Any, T]], seconds: float = 2.0
    ) -> T:
        """Lost, late, or heard twice; the answer too."""
        answer: asyncio.Future[T] = self.loop.create_future()
        for _ in range(2 if self.random.random() < self.loss else 1):
            if self.random.random() >= self.loss:
                self.loop.call_later(self.random.random() * self.slow, self._deliver, sender, receiver, call, answer)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise ConnectionError("nothing heard") from None

    def _deliver(
        self,
        sender: str,
        receiver: str,
        call: Callable[[ReplicaCore], Coroutine[Any, Any, T]],
        answer: asyncio.Future[T],
    ) -> None:
        node = self.nodes.get(receiver)
        if node is None or node.core is None or frozenset((sender, receiver)) in self.walls:
            return

        def back() -> None:
            if answer.done() or frozenset((sender, receiver)) in self.walls or task.cancelled():
                return
            error = task.exception()
            if error is None:
                answer.set_result(task.result())
            else:
                answer.set_exception(error)

        def ended(_: asyncio.Task[T]) -> None:
            if not task.cancelled():
                task.exception()  # it was looked at
            if self.random.random() >= self.loss:
                self.loop.call_later(self.random.random() * self.slow, back)

        context = copy_context()
        context.run(_HOME.set, node)
        task = self.loop.create_task(call(node.core), context=context)
        task.add_done_callback(ended)

    # Clients

    async def _client(self) -> None:
        while True:
            self.sent += 1
            body = b"write %d" % self.sent
            name = self.leader if self.random.random() < 0.8 else self.random.choice(list(self.nodes))
            level: Acknowledgement = self.random.choice(["one", "quorum", "quorum", "all"])
            if not name or not await self._write(name, body, level, self.random.uniform(0.1, 3.0)):
                await asyncio.sleep(self.random.uniform(0.0, 0.2))
            await asyncio.sleep(self.random.expovariate(20.0))

    async def _stale_client(self) -> None:
        """Has not heard of the last leader yet."""
        while True:
            await asyncio.sleep(self.random.expovariate(10.0))
            if self.former:
                self.sent += 1
                await self._write(self.former, b"write %d" % self.sent, "one", 0.1)

    async def _write(self, name: str, body: bytes, level: Acknowledgement, seconds: float) -> bool:
        async def call(core: ReplicaCore) -> None:
            leading = core.leading
            seq = await core.write(Write((Kind.UPSERT, body), len(body)), level, seconds)
            assert leading is not None
            epoch = leading.state.epoch
            assert epoch >= self.last_epoch, f"epoch {epoch} acknowledged after {self.last_epoch} did"
            self.last_epoch = epoch
            self.acknowledged[body] = level
            if level != "one":
                self.tokens[body] = seq

        try:
            await self.send("client", name, call, seconds + 1.0)
        except REFUSALS:
            return False
        return True

    # Trouble

    async def _killer(self) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(0.7 / self.calm))
            node = self.random.choice(list(self.nodes.values()))
            what = self.random.random()
            if what < 0.2:
                node.log.full = True
                await asyncio.sleep(self.random.uniform(0.1, 2.0))
                node.log.full = False
                continue
            if node.core is None:
                continue
            self.crash(node)
            alone = not any(one.state.lost for one in self.nodes.values())
            alone = alone and all(len(members) > 2 for _, members in self.configs)
            if what < 0.4 and alone and not self._elects:
                del node.log.entries[self.random.randint(0, len(node.log.entries)) :]
                node.log.durable = len(node.log.entries)
            await asyncio.sleep(self.random.uniform(0.0, 1.5))
            self.boot(node)

    async def _walls(self) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(0.4 / self.calm))
            side = set(self.random.sample(sorted(self.nodes), self.random.randint(1, len(self.nodes) // 2 + 1)))
            if self.leader and self.random.random() < 0.5:
                side = {self.leader}  # it does not hear that another one leads
            self.walls = {frozenset((one, other)) for one in side for other in self.nodes if other not in side}
            if self.random.random() < 0.7:
                self.walls |= {frozenset(("arbiter", one)) for one in side}
            await asyncio.sleep(self.random.uniform(0.0, 0.8))
            self._alarm.set()
            await asyncio.sleep(self.random.uniform(0.2, 3.0))
            self.walls = set()

    # The arbiter, which has a store that never fails

    _elects = False

    async def _arbiter(self) -> None:
        while True:
            await self._elect()
            self._alarm.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.random.uniform(0.2, 6.0 * self.calm)):
                    await self._alarm.wait()

    async def _elect(self) -> bool:
        self.epoch += 1
        epoch = self.epoch
        groups = [members for _, members in self.configs] or [self.members]
        asked = sorted({name for group in groups for name in group})
        seconds = self.random.choice([0.1, 0.5, 2.0])  # of patience with those who are away
        ask = [self.send("arbiter", name, lambda core: core.promise(epoch), seconds) for name in asked]
        heard = await asyncio.gather(*ask, return_exceptions=True)
        for one in heard:
            if isinstance(one, AssertionError):
                raise one
        promises = {int(name[1:]): one for name, one in zip(asked, heard, strict=True) if isinstance(one, Promise)}
        number = choose([tuple(int(name[1:]) for name in group) for group in groups], promises, ())
        if number is None:
            return False
        leader = f"r{number}"
        members = self._members(leader)
        self.leader, self.members, self.former = leader, members, self.leader
        self.configs.append((epoch, members))
        tell = Assignment(epoch, leader, members, tuple(name for name in self.nodes if name not in members))
        await asyncio.gather(*(self._tell(name, tell) for name in self.nodes), return_exceptions=True)
        with contextlib.suppress(*REFUSALS):
            if await self.send("arbiter", leader, _established) == epoch:
                self.configs = [one for one in self.configs if one[0] >= epoch]
        return True

    async def _tell(self, name: str, assignment: Assignment) -> None:
        for _ in range(3):
            with contextlib.suppress(*REFUSALS):
                if name == assignment.leader:
                    await self.send("arbiter", name, lambda core: core.lead(assignment), 0.7)
                else:
                    await self.send("arbiter", name, lambda core: core.follow(assignment), 0.7)
                return

    def _members(self, leader: str) -> tuple[str, ...]:
        """Now and then one takes the place of another, or there is one more, or one less."""
        members = set(self.members) | {leader}
        if self.random.random() < 0.3:
            others = sorted(self.nodes.keys() - {leader})
            members ^= {self.random.choice(others)}
        return tuple(sorted(members))


async def _established(core: ReplicaCore) -> int:
    async with asyncio.timeout(1.0):
        while core.leading is None or not core.leading.established:
            await asyncio.sleep(0.1)
    return epoch_of(core.leading.state.term)


def _remembering(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Any = None) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    home = context.get(_HOME) if context is not None else _HOME.get()
    if home is not None:
        home.tasks.add(task)
        task.add_done_callback(home.tasks.discard)
    return task
