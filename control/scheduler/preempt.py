"""Which holders have to stop so that a more urgent workload fits. Pure; every trial is made on a copy.

Victims are only taken when the workload then fits in the shape that it needs: eight devices freed on four nodes help
no job that needs them on one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from control.scheduler.answer import Mask, Placed
from control.scheduler.claim import Claim
from control.scheduler.policies import POLICIES
from control.scheduler.state import Lease, Span, Workload
from control.scheduler.stock import Stock

Cost = tuple[int, int, float, tuple[str, ...]]


def victims_for(
    claim: Claim,
    stock: Stock,
    candidates: Iterable[Workload],
    now: float,
) -> tuple[Workload, ...]:
    """The fewest and cheapest of the candidates whose devices let the workload fit; none when nothing helps.

    The candidates of every single node are tried first; a gang that may span nodes is then tried over more and
    more nodes, those that are cheapest to clear first.
    """

    def cost(victims: Sequence[Workload]) -> Cost:
        return cost_of(victims, claim.priority, now)

    def fits(among: Mask | None, trial: Stock, gone: Sequence[Workload]) -> bool:
        asked = claim.admitted(gone)
        if asked is None:
            return False
        answer = POLICIES[asked.kind](asked, trial, among)
        return isinstance(answer, Placed) and claim.admits(answer.milli, gone)

    workload = claim.workload

    by_node: dict[str, list[Workload]] = {}
    for candidate in candidates:
        for node in _lease(candidate).nodes:
            by_node.setdefault(node, []).append(candidate)
    found: list[tuple[Workload, ...]] = []
    best: Cost | None = None
    cleared: list[tuple[Cost, str]] = []
    for node in sorted(by_node):
        here = sorted(by_node[node], key=lambda v: cost([v])[1:])
        index = stock.board.index(node)
        if index is None:
            continue
        cleared.append((cost(here), node))
        if best is not None and _fewest(workload, stock, index, here) > best[0]:
            continue
        victims = _release(claim, here, stock, cost, partial(fits, _only(stock, index)))
        if victims and (best is None or cost(victims) < best):
            best = cost(victims)
            found = [victims]
    if found or (workload.span is Span.NODE and workload.replicas == 1):
        return found[0] if found else ()
    everyone: list[Workload] = []
    for _, node in sorted(cleared):
        everyone += [v for v in by_node[node] if v not in everyone]
    return _release(claim, everyone, stock, cost, partial(fits, None))


def cost_of(victims: Sequence[Workload], priority_of: Callable[[Workload], int], now: float) -> Cost:
    """What stopping them costs: fewer are cheaper, then those of lower classes, then those who lose less work."""
    return (
        len(victims),
        max((priority_of(v) for v in victims), default=0),
        sum(_lost(v, now) for v in victims),
        tuple(sorted(v.name for v in victims)),
    )


def _release(
    claim: Claim,
    candidates: Sequence[Workload],
    stock: Stock,
    cost: Callable[[Sequence[Workload]], Cost],
    fits: Callable[[Stock, Sequence[Workload]], bool],
) -> tuple[Workload, ...]:
    """Release candidates in order until the workload fits, then keep every one that turns out not to be needed.

    Who borrowed is no candidate any more once enough of what its queue borrowed is back.
    """
    trial = stock.copy()
    released: list[Workload] = []
    for candidate in candidates:
        if not claim.may_take(candidate, released):
            continue
        trial.give(_lease(candidate).pieces)
        released.append(candidate)
        if fits(trial, released):
            break
    else:
        return ()
    for candidate in sorted(released, key=lambda v: cost([v])[1:], reverse=True):
        trial.take(_lease(candidate).pieces)
        others = [one for one in released if one is not candidate]
        if fits(trial, others):
            released = others
        else:
            trial.give(_lease(candidate).pieces)
    return tuple(released)


def _only(stock: Stock, index: int) -> Mask:
    mask = np.zeros(len(stock.board.nodes), dtype=np.bool_)
    mask[index] = True
    return mask


def _fewest(workload: Workload, stock: Stock, node: int, candidates: Sequence[Workload]) -> int:
    """A lower bound for how many of the node's candidates have to go: as if each share or slice that one of them holds
    made a whole device free."""
    name = stock.board.nodes[node].name
    missing = (workload.least or workload.devices) // max(1, workload.replicas) - int(stock.board.idle[node])
    gains = sorted((sum(len(p.devices) for p in _lease(v).pieces if p.node == name) for v in candidates), reverse=True)
    count = 0
    while missing > 0 and count < len(gains):
        missing -= gains[count]
        count += 1
    return count


def _lost(victim: Workload, now: float) -> float:
    """Device-seconds of work that are thrown away: none where the victim checkpoints."""
    lease = _lease(victim)
    return 0.0 if victim.checkpoints else lease.devices * max(0.0, now - lease.since)


def _lease(holder: Workload) -> Lease:
    if holder.lease is None:
        raise ValueError(f"{holder.name} holds nothing")
    return holder.lease
