"""Elastic training: it starts with what there is, and is offered more when devices stand idle. Pure.

Shrinking is preemption: an elastic victim is stopped at a checkpoint and starts again with what is left. Growing is the
same road: it pays only after a while, because the restart costs what lies between two checkpoints.
"""

from __future__ import annotations

from control.scheduler.answer import Placed
from control.scheduler.policies import POLICIES
from control.scheduler.session import Session, evicted
from control.scheduler.state import Kind, Phase, Workload

GROW_AFTER_SECONDS = 600.0
"""How long a lease lasts at least before its holder is restarted with more devices."""


def grow(session: Session, now: float) -> tuple[Workload, ...]:
    """At most one holder, the one that has run longest with too little, told to start again with more."""
    for holder in sorted(session.holders.values(), key=lambda h: (h.lease.since if h.lease else 0.0, h.name)):
        lease = holder.lease
        if lease is None or not _could_grow(holder) or now - lease.since < GROW_AFTER_SECONDS:
            continue
        trial = session.stock.copy()
        trial.give(lease.pieces)
        answer = POLICIES[holder.kind](holder, trial)
        if isinstance(answer, Placed):
            devices = sum(len(piece.devices) for piece in answer.pieces)
            if devices > lease.devices:
                reason = f"starts again with {devices} devices instead of {lease.devices}"
                return (evicted(holder, holder.name, reason, now),)
    return ()


def _could_grow(holder: Workload) -> bool:
    return (
        holder.kind is Kind.TRAINING
        and holder.phase is Phase.LEASED
        and holder.checkpoints
        and holder.lease is not None
        and bool(holder.least)
        and holder.lease.devices < holder.devices
    )
