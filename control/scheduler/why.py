"""Why a workload waits or is where it is: what `biplane explain` says beyond the stored reason. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from control.scheduler.ask import refusals_when_empty
from control.scheduler.claim import Claim
from control.scheduler.preempt import victims_for
from control.scheduler.refusal import refusals, turned_away
from control.scheduler.reservation import expected_end, reserve
from control.scheduler.session import Session, turn_order
from control.scheduler.slicing import least_milli
from control.scheduler.state import Phase, Snapshot, Workload


@dataclass(frozen=True)
class Why:
    """Sentences, the most important first."""

    sentences: tuple[str, ...]
    nodes: tuple[tuple[str, str], ...] = ()
    """For each node the first rule that fails there."""


def why(name: str, snapshot: Snapshot) -> Why:
    """What the scheduler would answer now, and what would change that. Raises KeyError when nobody has the name."""
    workload = {w.name: w for w in snapshot.workloads}[name]
    session = Session.of(snapshot.nodes, snapshot.rules, snapshot.workloads, snapshot.now)
    others = [w for w in snapshot.workloads if w.eviction is not None and w.eviction.by == name]
    stopped = tuple(f"{w.name} has to stop for it" for w in others)
    match workload.phase:
        case Phase.PENDING:
            return _waiting(workload, session, snapshot, stopped)
        case Phase.LEASED | Phase.EVICTING:
            return Why(_held(workload, snapshot) + stopped)


def _held(workload: Workload, snapshot: Snapshot) -> tuple[str, ...]:
    sentences = []
    if workload.eviction is not None:
        left = max(0.0, workload.eviction.deadline - snapshot.now)
        sentences.append(f"it has {left:.0f} s left to save its work, then it waits for devices again")
    if workload.evictions:
        most = snapshot.rules.max_evictions
        sentences.append(f"it was stopped for others {workload.evictions} times; after {most} times it stays")
    end = expected_end(workload, snapshot.now)
    if not math.isinf(end):
        sentences.append(f"it says that it ends in {_duration(end - snapshot.now)}")
    return tuple(sentences)


def _waiting(workload: Workload, session: Session, snapshot: Snapshot, stopped: tuple[str, ...]) -> Why:
    never = refusals_when_empty(workload, snapshot.nodes, snapshot.rules.layouts)
    early = turned_away(workload, snapshot.rules, snapshot.now)
    quota = session.quotas.refusal(workload, least_milli(workload))
    fits = f"would fit, but {early or quota or 'it is not its turn'}"
    nodes = tuple((node, rule or fits) for node, rule in refusals(workload, session.stock).items())
    if never:
        return Why((f"it can never be placed on these nodes: {'; '.join(never[:3])}",), nodes)
    if early:
        return Why((*stopped, early), nodes)
    pending = [w for w in snapshot.workloads if w.phase is Phase.PENDING]
    queue = [w.name for w in turn_order(pending, session, snapshot.now)]
    sentences = [f"it is number {queue.index(workload.name) + 1} of {len(queue)} who wait"]
    if quota:
        sentences.append(quota)
    cuts = [cut for node in snapshot.known_nodes for cut in node.cuts if workload.name in cut.serves]
    sentences += [f"{cut.order.device} is being cut for it: {cut.reason}" for cut in cuts]
    sentences += _forecast(workload, session, snapshot.now)
    sentences += _remedy(workload, session, snapshot)
    left = snapshot.rules.patience - (snapshot.now - workload.waiting_since)
    sentences.append(
        f"in {_duration(left)} it goes ahead of every class" if left > 0 else "it has waited so long that it goes first"
    )
    return Why(stopped + tuple(sentences), nodes)


def _forecast(workload: Workload, session: Session, now: float) -> list[str]:
    found = reserve(workload, session.stock, session.holders.values(), now)
    if found is None:
        return []
    wanted = {piece.node for piece in found.pieces}
    leaving = sorted(h.name for h in session.holders.values() if h.lease and wanted.intersection(h.lease.nodes))
    when = "nobody knows when" if math.isinf(found.at) else f"in about {_duration(found.at - now)}"
    where = ", ".join(sorted(wanted))
    return [f"it would fit on {where} once enough of {_few(leaving)} have left, {when}"]


def _remedy(workload: Workload, session: Session, snapshot: Snapshot) -> list[str]:
    """What a person could do: name those of lower classes that would make room."""
    if snapshot.rules.preemption:
        return []
    claim = Claim(workload, session.quotas, snapshot.rules)
    lower = [holder for holder in session.holders.values() if claim.may_take(holder)]
    victims = victims_for(claim, session.stock, lower, snapshot.now)
    if not victims:
        return []
    return [f"preemption is off; with it {_few(sorted(v.name for v in victims))} would have to stop for it"]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _duration(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
