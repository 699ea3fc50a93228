"""Elastic training: it starts with what there is, and is offered more when devices stand idle. Pure.

Shrinking is preemption: an elastic victim is stopped at a checkpoint and starts again with what is left. Growing is the
same road: it pays only after a while, because the restart costs what lies between two checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable

from control.scheduler.admission import admitted
from control.scheduler.answer import Placed
from control.scheduler.line import shape_of
from control.scheduler.policies import POLICIES
from control.scheduler.session import Session, evicted, fits_without
from control.scheduler.state import Kind, Phase, Workload

GROW_AFTER_SECONDS = 600.0
"""How long a lease lasts at least before its holder is restarted with more devices."""


def grow(session: Session, pending: Iterable[Workload], now: float) -> tuple[Workload, ...]:
    """At most one holder, the one that has run longest with too little, told to start again with more.

    None while somebody waits whom the devices of others would help.
    """
    for holder in sorted(session.holders.values(), key=lambda h: (h.lease.since if h.lease else 0.0, h.name)):
        lease = holder.lease
        if lease is None or not _could_grow(holder) or now - lease.since < GROW_AFTER_SECONDS:
            continue
        quotas = session.quotas.copy()
        quotas.remove(holder, holder.milli_devices)
        asked = admitted(quotas, holder)[0]
        if asked is None:
            continue
        trial = session.stock.copy()
        trial.give(lease.pieces)
        answer = POLICIES[holder.kind](asked, trial)
        if isinstance(answer, Placed):
            devices = sum(len(piece.devices) for piece in answer.pieces)
            if devices > lease.devices and not _any_hopes(session, pending):
                reason = f"starts again with {devices} devices instead of {lease.devices}"
                return (evicted(holder, holder.name, reason, now),)
    return ()


def _any_hopes(session: Session, pending: Iterable[Workload]) -> bool:
    different = {shape_of(workload): workload for workload in pending}.values()
    return any(fits_without(session.holders.values(), workload, session.stock) for workload in different)


def _could_grow(holder: Workload) -> bool:
    return (
        holder.kind is Kind.TRAINING
        and holder.phase is Phase.LEASED
        and holder.checkpoints
        and holder.lease is not None
        and bool(holder.least)
        and holder.lease.devices < holder.devices
    )
