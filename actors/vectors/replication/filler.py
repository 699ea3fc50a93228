"""Brings the shard of a new layout the rows of an earlier one: first all there are, then what is written meanwhile.

It belongs to a leader and ends with it. Nothing of how far it got is stored: the next leader begins anew, and what its
shard has already is put right page by page. It writes nothing once its shard serves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.changes import from_bytes, of_ids, to_bytes
from actors.vectors.entry import Entry, Kind
from actors.vectors.merging import one_batch
from actors.vectors.replication.errors import NotLeader
from actors.vectors.replication.messages import Giver, Page
from actors.vectors.replication.state_machine import StateMachine
from actors.vectors.replication.writer import Item, Write
from actors.vectors.routing import shard_of
from actors.vectors.rows import ID, conformed, row_schema
from actors.vectors.shard import Shard
from control.specs.replica import Fill, Filling, Source
from control.specs.vector_filter import EVERYTHING

IDS = 1 << 13
"""That are read at once of the rows there are."""
CALL_SECONDS, WRITE_SECONDS = 5.0, 30.0
RETRY_SECONDS = 0.25
IDLE_SECONDS, CLOSING_SECONDS = 0.2, 0.02
"""Between two looks at a source that has nothing new; while it is closed clients wait for it."""
_LOG = logging.getLogger(__name__)


class Filler:
    """`settle` returns when all that is written is applied, `write` when a write is acknowledged; `done` hears of the
    attempt in which all sources are closed, and have nothing more. `fill` may change, but for the parts.
    """

    def __init__(
        self,
        fill: Fill,
        machine: StateMachine,
        peers: Callable[[str], Giver],
        settle: Callable[[], Awaitable[object]],
        write: Callable[[Write, float], Awaitable[object]],
        done: Callable[[int], Awaitable[None]],
    ) -> None:
        self.fill = fill
        self.machine, self.peers, self.settle = machine, peers, settle
        self._write, self._done = write, done
        self._pulls = [_Pull(self, number) for number in range(len(fill.sources))]
        self._tasks = [asyncio.create_task(one.run()) for one in self._pulls]

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    @property
    def standing(self) -> Filling:
        passed, total = sum(one.passed for one in self._pulls), sum(one.total for one in self._pulls)
        copied = 1.0 if all(one.scanned for one in self._pulls) else min(0.99, passed / max(1, total))
        troubles = [one.trouble for one in self._pulls if one.trouble]
        return Filling(copied, sum(one.behind for one in self._pulls), "; ".join(troubles))

    async def put(self, items: Sequence[Item]) -> None:
        """None of them has an id of another."""
        await asyncio.gather(*(self._write(Write(one, len(one[1])), WRITE_SECONDS) for one in items))

    async def look(self) -> None:
        """Whether all pulls have all that there will be."""
        attempt = self.fill.attempt
        if attempt and all(one.over == attempt for one in self._pulls):
            await self._done(attempt)


class _Pull:
    """From one source: `passed` of the `total` rows it has were looked at, or all are `scanned` and what was written
    since is known but for `behind` entries; it has nothing more in the attempt `over`.
    """

    def __init__(self, filler: Filler, number: int) -> None:
        self.passed, self.total, self.behind, self.over = 0, 0, 0, 0
        self.scanned, self.trouble = False, ""
        self._filler, self._number = filler, number
        self._asked = ""
        self._begun, self._position = False, 0
        self._after: int | str | None = None

    @property
    def _source(self) -> Source:
        return self._filler.fill.sources[self._number]

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await (self._follow() if self.scanned else self._scan())
                self.trouble = ""
            except Exception as error:  # whatever it is, the earlier layout serves on
                trouble = str(error) or "the shard that has the rows does not answer"
                if trouble != self.trouble:
                    _LOG.warning("rows of part %d of %d: %s", self._source.part, self._source.parts, trouble)
                self.trouble = trouble
                self._turn(error)
                await asyncio.sleep(RETRY_SECONDS)

    def _turn(self, error: Exception) -> None:
        """Away from one that does not lead the source, or does not answer: to whoever leads, or may know who does."""
        members = self._source.members
        if not isinstance(error, (NotLeader, OSError)):
            return
        if isinstance(error, NotLeader) and error.leader in members and error.leader != self._asked:
            self._asked = error.leader
        elif members:
            at = members.index(self._asked) if self._asked in members else -1
            self._asked = members[(at + 1) % len(members)]

    def _leader(self) -> Giver:
        if self._asked not in self._source.members:
            self._asked = next(iter(self._source.members), "")
        if not self._asked:
            raise ConnectionError("the shard that has the rows has no members yet")
        return self._filler.peers(self._asked)

    async def _scan(self) -> None:
        """The next page of the rows that there are, in the order of ids: then its ids are as the source has them."""
        filler, fill, clock = self._filler, self._filler.fill, asyncio.get_running_loop().time
        began, after = clock(), self._after
        if not self._begun:
            await filler.settle()
        async with asyncio.timeout(CALL_SECONDS):
            page = await self._leader().page(fill.part, fill.parts, after, self._position)
        if not self._begun:
            self._begun, self._position, self.passed = True, page.seq, 0
        shard, source = filler.machine.shard, self._source
        gone = await filler.machine.background(lambda: superfluous(shard, source, after, page))
        await filler.put([*([(Kind.UPSERT, page.rows)] if page.rows else []), *([gone] if gone else [])])
        self._after, self.passed, self.total = page.last, self.passed + page.passed, page.total
        self.scanned = page.last is None
        await asyncio.sleep(min(1.0, clock() - began))  # others need the cores, and the disk, for as long

    async def _follow(self) -> None:
        """What was written since."""
        filler, fill = self._filler, self._filler.fill
        async with asyncio.timeout(CALL_SECONDS):
            tail = await self._leader().tail(self._position, fill.attempt)
        if tail.cut:
            self.scanned, self.over = False, 0
            self._begun, self._after, self._position = False, None, 0
            return
        if tail.entries:
            schema = row_schema(filler.machine.spec)
            items = await filler.machine.background(lambda: folded(tail.entries, fill.part, fill.parts, schema))
            await filler.put(items)
            self._position = tail.entries[-1].seq
        self.behind = tail.behind
        if tail.over:
            self.over = fill.attempt
            await filler.look()
        if not tail.entries:
            await asyncio.sleep(CLOSING_SECONDS if fill.attempt else IDLE_SECONDS)


def superfluous(shard: Shard, source: Source, after: int | str | None, page: Page) -> Item | None:
    """The deletion of the rows that `shard` has of the source's between `after` and the page's last, and the page has
    not.
    """
    gone: list[pa.Array] = []
    there = from_bytes(page.rows).column(ID) if page.rows else None
    more = True
    while more:
        own = shard.view.scroll(EVERYTHING, after, IDS, ()).column(ID)
        more = len(own) == IDS
        if page.last is not None:
            own = own.filter(pc.less_equal(own, page.last))
            more = len(own) == IDS
        if len(own):
            after = own[-1].as_py()
            own = own.filter(pa.array(shard_of(own, source.parts) == source.part))
            gone.append(own if there is None else own.filter(pc.invert(pc.is_in(own, value_set=there))))
    ids = pa.concat_arrays(gone) if gone else ()
    return (Kind.DELETE, to_bytes(of_ids(ids))) if len(ids) else None


def folded(entries: Sequence[Entry], part: int, parts: int, schema: pa.Schema) -> list[Item]:
    """What the entries come to for the ids of one part: the rows that were written last, and the ids that were deleted
    last. No id is in both. Raises UnknownField.
    """
    seen: set[int | str] = set()
    found: dict[Kind, list[pa.Table]] = {}
    for entry in reversed(entries):
        if not entry.body:
            continue
        batch = from_bytes(entry.body)
        batch = batch.filter(pa.array(shard_of(batch.column(ID), parts) == part))
        last = {one: row for row, one in enumerate(batch.column(ID).to_pylist()) if one not in seen}
        if last:
            seen.update(last)
            rows = pa.Table.from_batches([batch.take(pa.array(last.values()))])
            found.setdefault(entry.kind, []).append(conformed(rows, schema) if entry.kind is Kind.UPSERT else rows)
    return [(kind, to_bytes(one_batch(pa.concat_tables(tables)))) for kind, tables in found.items()]
