"""The scheduler's working memory: what is free, who holds what, and one round of answers to those who wait.

The live actor makes a session of each snapshot; `simulate` keeps one over a whole trace. Not pure like a function,
but closed: it changes nothing outside itself, and the same calls give the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from control.scheduler.answer import Placed
from control.scheduler.ask import ask_of
from control.scheduler.board import Demand
from control.scheduler.fair_share import Amount
from control.scheduler.policies import POLICIES
from control.scheduler.preempt import victims_for
from control.scheduler.queue import Quotas, order
from control.scheduler.reservation import Reservation, reserve
from control.scheduler.state import (
    TRANSITIONS,
    WHOLE,
    Eviction,
    Happening,
    Kind,
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
MAX_BINDS = 5
REST_SECONDS = 5.0
"""A workload that Ray did not place rests twice this long, then four times, and so on."""


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
    told to stop has), and `spare` (now, less what the head of the queue waits for).
    """

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.rules = session.rules
        self.now = now
        self.stock = session.stock.copy()
        self.leaving = [h for h in session.holders.values() if h.phase is Phase.EVICTING]
        self.later: Stock | None = None
        self.later_quotas = session.quotas.copy()
        self._look_ahead(self.leaving)
        self.spare: Stock | None = None
        self.head: Reservation | None = None
        self.blocked = False
        self.strict = False
        self.reserved: frozenset[str] = frozenset()
        self.refused: dict[tuple[object, ...], str] = {}
        self.victims: list[Workload] = []

    def run(self, pending: Sequence[Workload]) -> tuple[Workload, ...]:
        queue = turn_order(pending, self.session, self.now)
        return tuple(self._settle(workload) for workload in queue) + tuple(self.victims)

    def _settle(self, workload: Workload) -> Workload:
        if workload.priority_class not in self.rules.priorities:
            known = ", ".join(sorted(self.rules.priorities))
            return _pend(workload, f"there is no priority class {workload.priority_class!r}; there are: {known}")
        if rest := _rest(workload, self.now):
            return _pend(workload, rest)
        shares = workload.milli < WHOLE and not workload.slice
        if shares and workload.kind is not Kind.INFERENCE and not self.rules.sharing.training:
            return _pend(workload, "shares of a device are for inference: other work needs whole devices")
        if self.blocked:
            return _pend(workload, "waits behind the head of the queue")
        key = (self._may_pass(workload), *_shape(workload))
        if not workload.nominated and key in self.refused:
            return _pend(workload, self.refused[key])
        answered = self._answer(workload)
        if answered.phase is Phase.PENDING:
            self.refused[key] = answered.reason
        return answered

    def _answer(self, workload: Workload) -> Workload:
        if workload.nominated and (nominated := self._nominated(workload)) is not None:
            return nominated
        admitted, refusal = _within(self.session.quotas, workload)
        stock = self.stock if self.spare is None or self._may_pass(workload) else self.spare
        if admitted is not None:
            answer = POLICIES[workload.kind](admitted, stock)
            if isinstance(answer, Placed):
                return self._lease(workload, answer)
            refusal = answer.why()
        if self.later is not None and (later := _within(self.later_quotas, workload)[0]) is not None:
            answer = POLICIES[workload.kind](later, self.later)
            if isinstance(answer, Placed):
                return self._promise(workload, answer, self.leaving + self.victims)
        if self.rules.preemption and (victims := self._victims(workload)):
            self._evict(victims, workload)
            answer = POLICIES[workload.kind](workload, self.later or self.stock)
            if isinstance(answer, Placed):
                return self._promise(workload, answer, victims)
        if admitted is not None:
            self._reserve(admitted)
        return _pend(workload, refusal)

    def _nominated(self, workload: Workload) -> Workload | None:
        """What others were stopped for is its own as soon as it is free; None when a higher class has taken it."""
        placed = Placed(workload.nominated, "others were stopped for it")
        asked = replace(workload, lease=Lease(workload.nominated)).milli_devices
        if self.stock.holds(placed.pieces) and not self.session.quotas.refusal(workload, asked):
            return self._lease(workload, placed)
        if self.later is not None and self.later.holds(placed.pieces):
            return self._promise(workload, placed, self.leaving)
        return None

    def _lease(self, workload: Workload, placed: Placed) -> Workload:
        leased = replace(
            workload,
            phase=TRANSITIONS[workload.phase, Happening.FITS],
            lease=Lease(placed.pieces, self.now),
            reason=placed.reason,
            nominated=(),
        )
        self.session.hold(leased)
        self.later_quotas.add(workload, workload.milli_devices)
        self._withhold(placed)
        return leased

    def _promise(self, workload: Workload, placed: Placed, stopping: Sequence[Workload]) -> Workload:
        """Nobody else gets these pieces in this round."""
        self.later_quotas.add(workload, workload.milli_devices)
        self._withhold(placed)
        nodes = {piece.node for piece in placed.pieces}
        waits_for = sorted(h.name for h in stopping if h.lease and nodes.intersection(h.lease.nodes))
        reason = f"waits for {', '.join(waits_for)} to stop" if waits_for else "waits for others to stop"
        return _pend(workload, reason, placed.pieces)

    def _withhold(self, placed: Placed) -> None:
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
        def admits(gone: Sequence[Workload]) -> bool:
            trial = self.later_quotas.copy()
            for victim in gone:
                trial.remove(victim, victim.milli_devices)
            return not trial.refusal(workload, workload.milli_devices)

        stock = self.later or self.stock
        candidates = [h for h in self.session.holders.values() if self._may_evict(workload, h)]
        elsewhere = [h for h in candidates if not self.reserved.intersection(_uuids(h))]
        found: tuple[Workload, ...] = ()
        if elsewhere:
            found = victims_for(workload, stock, elsewhere, self._priority, self.now, admits)
        # Who stands behind a head that is out of patience gets nothing that it waits for. Before that, no lower class
        # may keep its devices because a head waits for others too (Kueue #5243).
        if not found and not self.strict and len(candidates) > len(elsewhere):
            found = victims_for(workload, stock, candidates, self._priority, self.now, admits)
        return found

    def _may_evict(self, workload: Workload, holder: Workload) -> bool:
        """A lower class of the same tenant or of nobody's quota, or a tenant that borrows what is claimed back."""
        if holder.phase is not Phase.LEASED or not holder.preemptible or holder.evictions >= self.rules.max_evictions:
            return False
        lower = self._priority(holder) < self._priority(workload)
        if holder.queue in ("", workload.queue) or not self.rules.queues:
            return lower
        quotas = self.later_quotas
        return (lower and quotas.borrows(holder.queue)) or quotas.may_reclaim(workload, holder)

    def _evict(self, victims: Sequence[Workload], by: Workload) -> None:
        told = [evicted(v, by.name, f"{by.name} ({by.priority_class}) needs its devices", self.now) for v in victims]
        for victim in told:
            self.session.holders[victim.name] = victim
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
            self.strict = self.now - workload.waiting_since >= self.rules.patience
            if self.strict and self.later is not None:
                self.later.withhold(self.head.pieces)

    def _may_pass(self, workload: Workload) -> bool:
        """It ends before the head of the queue could start."""
        if self.head is None:
            return True
        return bool(workload.duration) and self.now + workload.duration <= self.head.at

    def _priority(self, workload: Workload) -> int:
        return self.rules.priorities.get(workload.priority_class, 0)


def turn_order(pending: Iterable[Workload], session: Session, now: float) -> list[Workload]:
    """Who is answered first: those out of patience, the oldest first; then by class, in a class those first for whom
    others were stopped.

    Were those out of patience answered by class too, an overload of a higher class would starve the lower ones.
    Within a class what was freed for somebody would otherwise go to somebody else; a higher class goes ahead all the
    same (a preemptor that is pinned to the head would block it: Kueue #7301).
    """
    priorities = session.rules.priorities

    def turn(workload: Workload) -> tuple[bool, float, bool]:
        if now - workload.waiting_since >= session.rules.patience:
            return (False, workload.waiting_since, False)
        return (True, -priorities.get(workload.priority_class, 0), not workload.nominated)

    return sorted(order(pending, session.quotas, priorities, now), key=turn)


def evicted(holder: Workload, by: str, reason: str, now: float) -> Workload:
    """The holder, told to stop within its grace."""
    return replace(
        holder,
        phase=TRANSITIONS[holder.phase, Happening.CHOSEN],
        eviction=Eviction(by, now + holder.grace),
        reason=f"has to stop: {reason}",
    )


def _within(quotas: Quotas, workload: Workload) -> tuple[Workload | None, str]:
    """The workload with as many devices as the quotas admit (elastic training: down to its least), or why none."""
    why = ""
    for devices in range(workload.devices, (workload.least or workload.devices) - 1, -1):
        why = quotas.refusal(workload, devices * workload.milli)
        if not why:
            if devices == workload.devices:
                return workload, ""
            ask = ask_of(workload, devices)
            return replace(workload, devices=devices, cpu=ask.cpu, memory=ask.memory), ""
    return None, why


def _rest(workload: Workload, now: float) -> str:
    """Why a workload that Ray could not place before is not tried yet; empty when it is."""
    if not workload.failed_binds:
        return ""
    if workload.failed_binds >= MAX_BINDS:
        return f"Ray could not place it {workload.failed_binds} times; apply it again once the nodes are in order"
    if now < workload.waiting_since + REST_SECONDS * 2**workload.failed_binds:
        return f"Ray could not place it ({workload.failed_binds} times so far); it rests before the next try"
    return ""


def _pend(workload: Workload, reason: str, nominated: tuple[Piece, ...] = ()) -> Workload:
    phase = TRANSITIONS[workload.phase, Happening.DOES_NOT_FIT]
    if (workload.phase, workload.reason, workload.nominated) == (phase, reason, nominated):
        return workload  # most of a long queue: a copy of each would cost more than the answers
    return replace(workload, phase=phase, reason=reason, nominated=nominated)


def _uuids(holder: Workload) -> set[str]:
    return {uuid for piece in (holder.lease.pieces if holder.lease else ()) for uuid in piece.devices}


def _shape(workload: Workload) -> tuple[object, ...]:
    """Two workloads of one shape get the same answer as long as nothing comes free."""
    return (
        workload.kind,
        workload.devices,
        workload.least,
        workload.replicas,
        workload.milli,
        workload.device_memory,
        workload.memory,
        workload.cpu,
        workload.models,
        workload.span,
        workload.slice,
        workload.latency_ms,
        workload.requests_per_second,
        workload.profiles,
        workload.queue,
        workload.priority_class,
    )
