"""What control sees of a replica."""

from __future__ import annotations

import os
from dataclasses import replace

from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.hard_state import LOST
from actors.vectors.replication.term import epoch_of
from control.specs.replica import Standing


def standing_of(core: ReplicaCore, generation: int) -> Standing:
    """`generation` is that of the spec that it goes by."""
    state, leading, machine, filler = core.state, core.leading, core.machine, core.filler
    return Standing(
        pid=os.getpid(),
        generation=generation,
        promised=epoch_of(state.promised),
        epoch=state.epoch,
        leads=state.leads,
        committed_epoch=epoch_of(core.journal.term_at(core.journal.committed)),
        last_seq=core.journal.last.seq,
        reached=not state.leads or (leading is not None and leading.reached),
        building=machine.shard.figures().outdated,
        degraded=(*machine.degraded, *((LOST,) if state.lost else ())),
        filling=replace(filler.standing, filled=state.filled, position=state.position) if filler else None,
    )
