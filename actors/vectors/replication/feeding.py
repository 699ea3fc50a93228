"""What the leader of a shard gives to shards of another layout: its rows, page by page, and what was written since.

It reads in the thread that maintains the shard, behind everybody who searches, and never writes.
"""

from __future__ import annotations

import asyncio

import pyarrow as pa

from actors.vectors.changes import to_bytes
from actors.vectors.log import LogCut
from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.errors import Behind, Degraded
from actors.vectors.replication.messages import Page, Tail
from actors.vectors.routing import shard_of
from actors.vectors.rows import ID, row_schema
from actors.vectors.view import View
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import EVERYTHING

PAGE_BYTES = 4 << 20
ROW_BYTES = 64
"""What a row is taken to have beside its vector; a page of larger ones has fewer of them."""
APPLY_SECONDS = 1.0


async def page(core: ReplicaCore, part: int, parts: int, after: int | str | None, seq: int) -> Page:
    """The rows of `part` of `parts` that follow the id `after`, with all that the log has up to `seq`.

    Raises NotLeader, Degraded, and Behind where the log is not applied so far.
    """
    core.leader()
    if lacks := core.machine.lacks:
        raise Degraded(lacks)
    try:
        async with asyncio.timeout(APPLY_SECONDS):
            await core.machine.applied.reach(max(seq, core.machine.floor))
    except TimeoutError:
        raise Behind(seq, core.machine.applied.value) from None
    view, spec = core.machine.shard.view, core.machine.spec
    return await core.machine.background(lambda: _page(view, spec, part, parts, after))


async def tail(core: ReplicaCore, after: int, attempt: int) -> Tail:
    """The final entries that follow `after`; where there are none, whether there will be none any more, as the shard is
    closed in the `attempt`. Raises NotLeader and NoQuorum.
    """
    leading, journal, state = core.leader(), core.journal, core.state
    if after < journal.committed:
        try:
            _, entries = await journal.behind(after)
        except LogCut:
            return Tail(cut=True)
        final = tuple(entry for entry in entries if entry.seq <= journal.committed)
        return Tail(final, journal.committed - after - len(final))
    if attempt and state.move.closed == attempt and leading.established and after == journal.last.seq:
        leading.confirm()
        return Tail(over=True)
    return Tail()


def _page(view: View, spec: CollectionSpec, part: int, parts: int, after: int | str | None) -> Page:
    schema = row_schema(spec)
    limit = max(1, PAGE_BYTES // (4 * spec.dimension + ROW_BYTES))
    ids = view.scroll(EVERYTHING, after, limit, ()).column(ID)
    mine = ids.filter(pa.array(shard_of(ids, parts) == part)) if len(ids) else ids
    rows = view.fetch(mine, tuple(schema.names[1:]))
    passed, last = len(ids), ids[-1].as_py() if len(ids) == limit else None
    if (share := PAGE_BYTES / max(1, rows.nbytes)) < 1 < len(rows):
        rows = rows.slice(0, max(1, int(share * len(rows))))
        passed, last = int(share * passed), rows.column(ID)[-1].as_py()
    body = to_bytes(pa.record_batch(rows.columns, schema=schema)) if len(rows) else b""
    return Page(body, last, view.applied.seq, passed, view.count(EVERYTHING))
