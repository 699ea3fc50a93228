"""A replica's directory opened: the log, the shard and what was promised read, and brought together after a crash.

What a crash left is put right before anybody hears of the replica: a complete copy comes into its place, and a log that
has lost entries is noted, as its replica may not vote for what it no longer knows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.vectors.log import Log
from actors.vectors.replication import install
from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.disk import Mark, load_state, lock, save_state
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.messages import Other
from actors.vectors.shard import Shard
from control.specs.collection import CollectionSpec


def open_replica(me: str, directory: Path, spec: CollectionSpec, peers: Callable[[str], Other]) -> ReplicaCore:
    """Reads the directory, or begins it. Raises BlockingIOError where another process has it."""
    held = lock(directory)
    mark, log = Mark(directory), Log.open(directory / "log")
    install.put_in_place(directory, log, mark)
    shard = Shard.open(directory / install.SHARD, spec)
    lost = log.lost > 0 or log.last < mark.synced
    if shard.receipt.seq > log.last.seq:
        install.begin_behind(log, mark, shard.receipt)
    if lost:
        mark.note(synced=log.last)
    before = load_state(directory)
    state = before.begin_again(lost)
    if state != before:
        save_state(directory, state)
    committed = max(
        min(mark.committed, log.last.seq), shard.receipt.seq, log.first - 1
    )  # only what is final is cut off
    return ReplicaCore(me, directory, spec, peers, held, state, Journal(directory, log, mark, committed), shard)
