"""The scheduler's working memory: what is free, who holds what, and one round of answers to those who wait.

The live actor makes a session of each snapshot; `simulate` keeps one over a whole trace. Not pure like a function,
but closed: it changes nothing outside itself, and the same calls give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, filterfalse
from operator import attrgetter

from control.scheduler.admission import admitted
from control.scheduler.answer import Placed, Refused
from control.scheduler.ask import ask_of
from control.scheduler.board import Demand
from control.scheduler.claim import Claim
from control.scheduler.fair_share import Amount
from control.scheduler.line import Line
from control.scheduler.policies import POLICIES
from control.scheduler.preempt import victims_for
from control.scheduler.queue import Quotas, order
from control.scheduler.refusal import turned_away
from control.scheduler.reservation import Reservation, reserve
from control.scheduler.state import (
    TRANSITIONS,
    Ask,
    Eviction,
    Happening,
    Lease,
    Node,
    Phase,
    Piece,
    Rules,
    Workload,
)
from control.scheduler.stock import Stock

ITS_OWN_SAKE = "its own sake"
"""For whom a holder has to stop that cannot stay where it is."""


@dataclass
class Session:
    """`stock` is what is free now; `holders` are the workloads that hold devices, by name."""

    stock: Stock
    quotas: Quotas
    rules: Rules
    holders: dict[str, Workload] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Sequence[Node], rules: Rules, workloads: Iterable[Workload], now: float) -> Session:
        """What those of the workloads that hold a lease hold is taken, the most urgent first.

        A holder whose node can no longer give all that it gave (a smaller node came back) has to stop. What others
        than Biplane hold of a node is withheld last.
        """
        workloads = tuple(workloads)
        demand = Demand.of(ask_of(w, w.devices) for w in workloads)
        session = cls(Stock.of(nodes, rules.sharing, demand), Quotas(rules.queues, Amount.of(nodes)), rules)
        holders = [w for w in workloads if w.lease is not None]
        for holder in sorted(holders, key=lambda w: (-rules.priorities.get(w.priority_class, 0), w.created_at, w.name)):
            session.hold(session._checked(holder, now))
        session.stock.board.withhold_foreign()
        return session

    def _checked(self, holder: Workload, now: float) -> Workload:
        if holder.phase is not Phase.LEASED or holder.lease is None or self.stock.holds(holder.lease.pieces):
            return holder
        reason = f"{', '.join(holder.lease.nodes)} can no longer give all that was given there"
        return evicted(holder, ITS_OWN_SAKE, reason, now)

    def hold(self, workload: Workload) -> None:
        """Count a workload that holds a lease. Only what is still free of its pieces is taken from the stock."""
        if workload.lease is not None:
            self.stock.withhold(workload.lease.pieces)
            self.quotas.add(workload, workload.milli_devices)
            self.holders[workload.name] = workload

    def release(self, name: str) -> None:
        """Its pieces are free again; nothing happens when it holds nothing."""
        holder = self.holders.pop(name, None)
        if holder is not None and holder.lease is not None:
            self.stock.give(holder.lease.pieces)
            self.quotas.remove(holder, holder.milli_devices)

    def settle(self, pending: Iterable[Workload], now: float) -> tuple[Workload, ...]:
        """Answer everyone who waits, most urgent first. Returns them as they stand now, and the victims."""
        return _Round(self, now).run(tuple(pending))


class _Round:
    """One pass over the queue.

    Three views of what is free are kept in step: `stock` (now, less what was promised), `later` (once everyone who was
    told to stop has), and `spare` (now, less what the head of the queue waits for); and the quotas of the first two.
    """

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.rules = session.rules
        self.now = now
        session.stock.board.choose(Ask())  # what this works out is shared by the copies that the round makes
        self.stock = session.stock.copy()
        self.leaving = [h for h in session.holders.values() if h.phase is Phase.EVICTING]
        self.later: Stock | None = None
        self.quotas = session.quotas.copy()
        self.later_quotas = session.quotas.copy()
        self._look_ahead(self.leaving)
        self.spare: Stock | None = None
        self.head: Reservation | None = None
        self.blocked = False
        self.strict = False
        self.reserved: frozenset[str] = frozenset()
        self.let_in: set[str] = set()
        self.first_in_quota: list[Workload] = []
        self.victims: list[Workload] = []
        self.lower: dict[int, list[Workload]] = {}
        self.line = Line((), self._may_pass)

    def run(self, pending: Sequence[Workload]) -> tuple[Workload, ...]:
        """Ask in turn, until everyone who is left is told what one like it was told before."""
        self.line = Line(pending, self._may_pass)
        answers = []
        for workload in turn_order(pending, self.session, self.now):
            if self.blocked or not self.line:
                break
            self.line.leave(workload)
            answers.append(self._settle(workload))
        return (*answers, *map(self._settle, self.line.waiting.values()), *self.victims)

    def _settle(self, workload: Workload) -> Workload:
        if reason := turned_away(workload, self.rules, self.now):
            return _pend(workload, reason)
        if self.blocked:
            return _pend(workload, "waits behind the head of the queue")
        if first := next((one for one in self.first_in_quota if self.quotas.are_rivals(one, workload)), None):
            return _pend(workload, f"waits behind {first.name}, which has waited long enough for the same quota")
        alike = self.line.alike(workload)
        if not workload.nominated and alike in self.line.refused:
            return _pend(workload, self.line.refused[alike])
        answered = self._answer(workload)
        if answered.phase is Phase.PENDING and not answered.nominated:
            self.line.refuse(alike, answered.reason)
        return answered

    def _answer(self, workload: Workload) -> Workload:
        own = Placed(workload.nominated, "others were stopped for it") if workload.nominated else None
        if own is not None and self.stock.offers(own.pieces) and not self.quotas.refusal(workload, own.milli):
            return self._lease(workload, own)
        asked, short = admitted(self.quotas, workload)
        refusal: Callable[[], str] = partial(str, short)
        stock = self.stock if self.spare is None or self._may_pass(workload) else self.spare
        if asked is not None:
            answer = POLICIES[workload.kind](asked, stock)
            if isinstance(answer, Refused):
                refusal = answer.why
            elif short := self.quotas.refusal(workload, answer.milli):
                asked, refusal = None, partial(str, short)
            else:
                return self._lease(workload, answer)
        if own is not None and self.later is not None and self.later.offers(own.pieces):
            return self._promise(workload, own, self.leaving)
        if (placed := self._placed_later(workload)) is not None:
            return self._promise(workload, placed, self.leaving + self.victims)
        if self.rules.preemption and (victims := self._victims(workload)):
            self._evict(victims, workload)
            if (placed := self._placed_later(workload)) is not None:
                return self._promise(workload, placed, victims)
        if asked is not None:
            self._reserve(asked)
        elif self._is_late(workload) and self.quotas.may_ever_admit(workload):
            self.first_in_quota.append(workload)
        return _pend(workload, refusal())

    def _placed_later(self, workload: Workload) -> Placed | None:
        """Where it fits once everyone has stopped who was told to."""
        if self.later is None or (asked := admitted(self.later_quotas, workload)[0]) is None:
            return None
        answer = POLICIES[workload.kind](asked, self.later)
        if isinstance(answer, Refused) or self.later_quotas.refusal(workload, answer.milli):
            return None
        return answer

    def _lease(self, workload: Workload, placed: Placed) -> Workload:
        leased = replace(
            workload,
            phase=TRANSITIONS[workload.phase, Happening.FITS],
            lease=Lease(placed.pieces, self.now),
            reason=placed.reason,
            nominated=(),
        )
        self.session.hold(leased)
        self.let_in.add(workload.name)
        self.lower.clear()
        self._withhold(workload, placed)
        return leased

    def _promise(self, workload: Workload, placed: Placed, stopping: Sequence[Workload]) -> Workload:
        """Nobody else gets these pieces in this round, nor the quota for them."""
        self._withhold(workload, placed)
        nodes = {piece.node for piece in placed.pieces}
        waits_for = sorted(h.name for h in stopping if h.lease and nodes.intersection(h.lease.nodes))
        reason = f"waits for {', '.join(waits_for)} to stop" if waits_for else "waits for others to stop"
        return _pend(workload, reason, placed.pieces)

    def _withhold(self, workload: Workload, placed: Placed) -> None:
        for quotas in (self.quotas, self.later_quotas):
            quotas.add(workload, placed.milli)
        for view in (self.stock, self.later, self.spare):
            if view is not None:
                view.withhold(placed.pieces)

    def _look_ahead(self, leaving: Sequence[Workload]) -> None:
        """Count what these hold as free later."""
        if leaving and self.later is None:
            self.later = self.stock.copy()
        for holder in leaving:
            if self.later is not None and holder.lease is not None:
                self.later.give(holder.lease.pieces)
                self.later_quotas.remove(holder, holder.milli_devices)

    def _victims(self, workload: Workload) -> tuple[Workload, ...]:
        claim = Claim(workload, self.later_quotas, self.rules)
        stock = self.later or self.stock
        candidates = self._candidates(claim)
        asked = claim.admitted(candidates) if candidates else None
        if asked is None or not fits_without(candidates, asked, stock):
            return ()
        elsewhere = [h for h in candidates if not self.reserved.intersection(_uuids(h))]
        found: tuple[Workload, ...] = ()
        if elsewhere:
            found = victims_for(claim, stock, elsewhere, self.now)
        # Who stands behind a head that is out of patience gets nothing that it waits for. Before that, no lower class
        # may keep its devices because a head waits for others too (Kueue #5243).
        if not found and not self.strict and len(candidates) > len(elsewhere):
            found = victims_for(claim, stock, candidates, self.now)
        return found

    def _candidates(self, claim: Claim) -> list[Workload]:
        """Who may be told to stop; whom this round let in may not. Without queues it is the same for all of a class."""
        priority = claim.priority(claim.workload)
        if self.rules.queues or priority not in self.lower:
            self.lower[priority] = [
                h for h in self.session.holders.values() if h.name not in self.let_in and claim.may_take(h)
            ]
        return self.lower[priority]

    def _evict(self, victims: Sequence[Workload], by: Workload) -> None:
        told = [evicted(v, by.name, f"{by.name} ({by.priority_class}) needs its devices", self.now) for v in victims]
        for victim in told:
            self.session.holders[victim.name] = victim
        self.lower.clear()
        self._look_ahead(told)
        self.victims += told

    def _reserve(self, workload: Workload) -> None:
        """The first that does not fit is the head: those behind it must not delay it."""
        if self.head is not None:
            return
        staying = [h for h in self.session.holders.values() if h.phase is Phase.LEASED]
        self.head = reserve(workload, self.later or self.stock, staying, self.now)
        if self.head is not None:
            self.blocked = not self.rules.backfill
            self.spare = self.stock.copy()
            self.spare.withhold(self.head.pieces)
            self.reserved = frozenset(uuid for piece in self.head.pieces for uuid in piece.devices)
            self.line.recount()
            self.strict = self._is_late(workload)
            if self.strict and self.later is not None:
                self.later.withhold(self.head.pieces)

    def _may_pass(self, workload: Workload) -> bool:
        """It ends before the head of the queue could start."""
        if self.head is None:
            return True
        return bool(workload.duration) and self.now + workload.duration <= self.head.at

    def _is_late(self, workload: Workload) -> bool:
        return self.now - workload.waiting_since >= self.rules.patience


def turn_order(pending: Sequence[Workload], session: Session, now: float) -> Iterable[Workload]:
    """Who is answered first: those out of patience, the oldest first; then by class, in a class those first for whom
    others were stopped. Works out no more of the order than is taken of it.

    Were those out of patience answered by class too, an overload of a higher class would starve the lower ones.
    Within a class what was freed for somebody would otherwise go to somebody else; a higher class goes ahead all the
    same (a preemptor that is pinned to the head would block it: Kueue #7301).
    """
    priorities = session.rules.priorities
    ordered = order(pending, session.quotas, priorities, now)

    def late(workload: Workload) -> bool:
        return now - workload.waiting_since >= session.rules.patience

    def turn(workload: Workload) -> tuple[bool, float, bool]:
        if late(workload):
            return (False, workload.waiting_since, False)
        return (True, -priorities.get(workload.priority_class, 0), not workload.nominated)

    first = sorted(filter(late, pending), key=_waiting_since)
    if len(set(map(_waiting_since, first))) < len(first) or any(workload.nominated for workload in pending):
        return sorted(ordered, key=turn)
    return chain(first, filterfalse(late, ordered)) if first else ordered


def evicted(holder: Workload, by: str, reason: str, now: float) -> Workload:
    """The holder, told to stop within its grace."""
    return replace(
        holder,
        phase=TRANSITIONS[holder.phase, Happening.CHOSEN],
        eviction=Eviction(by, now + holder.grace),
        reason=f"has to stop: {reason}",
    )


def _pend(workload: Workload, reason: str, nominated: tuple[Piece, ...] = ()) -> Workload:
    if workload.reason == reason and workload.nominated == nominated and workload.phase is Phase.PENDING:
        return workload  # most of a long queue: a copy of each would cost more than the answers
    phase = TRANSITIONS[workload.phase, Happening.DOES_NOT_FIT]
    return replace(workload, phase=phase, reason=reason, nominated=nominated)


def fits_without(holders: Iterable[Workload], workload: Workload, stock: Stock) -> bool:
    """Most who look for victims find none: one try with all of them gone says so."""
    trial = stock.copy()
    for holder in holders:
        trial.give(holder.lease.pieces if holder.lease else ())
    return isinstance(POLICIES[workload.kind](workload, trial), Placed)


def _uuids(holder: Workload) -> set[str]:
    return {uuid for piece in (holder.lease.pieces if holder.lease else ()) for uuid in piece.devices}


_waiting_since: Callable[[Workload], float] = attrgetter("waiting_since")
