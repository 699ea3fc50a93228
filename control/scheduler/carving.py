"""Which devices are cut on demand, for whom, and who has to leave them first. Pure.

Served are those who wait for want of room alone. Where no idle device can be cut for somebody, and preemption is on,
the fewest and cheapest of lower classes leave one node's devices that then can be: whoever needs another form of a
device than they hold would wait for them otherwise, however urgent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from control.scheduler.ask import ask_of
from control.scheduler.claim import Claim
from control.scheduler.ordered import ORDER_SECONDS, Ordered
from control.scheduler.preempt import Cost, cost_of
from control.scheduler.refusal import turned_away
from control.scheduler.repartition import Part, Recut, Sheet, Wanted, plan_recuts
from control.scheduler.session import Session, evicted
from control.scheduler.sheets import holders_of, order_of, sheet_of
from control.scheduler.slicing import bytes_on, host_ask, least_milli, sufficient_slices
from control.scheduler.state import WHOLE, Ask, Device, Node, Phase, Snapshot, Workload


@dataclass(frozen=True)
class Carved:
    """New orders by device, and the workloads that are told to leave: their orders wait until they have."""

    orders: Mapping[str, Ordered]
    leaving: tuple[Workload, ...] = ()


def carve(
    workloads: Iterable[Workload], session: Session, snapshot: Snapshot, under_way: Mapping[str, Ordered]
) -> Carved:
    """For those who still wait after this round; `under_way` are the orders that stand already, by device."""
    workloads = tuple(workloads)
    served = {name for one in under_way.values() for name in one.serves}
    waiting = [
        w
        for w in workloads
        if w.phase is Phase.PENDING
        and not (w.nominated or w.name in served or turned_away(w, snapshot.rules, snapshot.now))
    ]
    carving = _Carving(workloads, session, snapshot, under_way)
    if waiting and carving.sheets:
        carving.beside_all(waiting)
        for workload in sorted(waiting, key=carving.urgency):
            if workload.name not in carving.served:
                carving.on_one_node(workload)
    return Carved(carving.orders, tuple(carving.leaving.values()))


@dataclass(frozen=True)
class _Emptied:
    """A device as it is without the victims, for whom they leave it, and what finds no room beside that: so many slices
    of a profile."""

    sheet: Sheet
    wanted: list[Wanted]
    victims: Sequence[Workload]
    full: set[tuple[str, int]] = field(default_factory=set)


class _Carving:
    """The devices that may be cut, and what was decided of them so far."""

    def __init__(
        self,
        workloads: Sequence[Workload],
        session: Session,
        snapshot: Snapshot,
        under_way: Mapping[str, Ordered],
    ) -> None:
        self.session, self.rules, self.now = session, snapshot.rules, snapshot.now
        self.quotas = session.quotas.copy()
        self.holders = [w for w in workloads if w.lease is not None] if snapshot.rules.preemption else []
        self.asked = Counter(profile for w in workloads if (profile := next(iter(sufficient_slices(w)), "")))
        self.sheets: dict[str, Sheet] = {}
        self.orders: dict[str, Ordered] = {}
        self.leaving: dict[str, Workload] = {}
        self.served: set[str] = set()
        self._where: dict[str, tuple[Node, Device]] = {}
        self._by_node: dict[str, list[str]] = {}
        self._able: dict[tuple[str, int, Ask], frozenset[str]] = {}
        self._emptied: list[_Emptied] = []
        # What one cannot have nobody after it can who asks for the same: there is only ever less.
        self._hopeless: set[tuple[object, ...]] = set()
        holders = holders_of(workloads)
        for node in snapshot.nodes:
            for device in node.devices if node.carve and not node.layout and not node.cordon else ():
                sheet = sheet_of(node, device, holders, snapshot)
                if sheet is not None and device.uuid not in under_way:
                    self.sheets[device.uuid] = sheet
                    self._where[device.uuid] = node, device
                    self._by_node.setdefault(node.name, []).append(device.uuid)

    def urgency(self, workload: Workload) -> tuple[int, float, str]:
        return (-self._priority(workload), workload.waiting_since, workload.name)

    def beside_all(self, waiting: Iterable[Workload]) -> None:
        """Cut what is idle, for all who need slices or single devices."""
        admitted = {w.name: w for w in waiting if self._admits(w, ())}
        asks = [one for w in admitted.values() if (one := self._wanted(w)) and (one.profile or _each(w) == 1)]
        recuts = plan_recuts(self.sheets.values(), asks, self.asked)
        for name in {one.workload for one in asks} - {one.workload for one in recuts.waits}:
            self._serve(admitted[name])
        self._order(recuts.cuts, ())

    def on_one_node(self, workload: Workload) -> None:
        """Cut what is idle on the first node where that helps; else, if need be, what the fewest and cheapest leave."""
        wanted = self._wanted(workload, when_left=bool(self.holders))
        if wanted is None:
            return
        if not wanted.profile and _each(workload) > 1:
            if workload.replicas > 1:
                return
            wanted = replace(wanted, count=_each(workload))
        key = (wanted.profile, wanted.count, wanted.devices, workload.priority_class, workload.queue)
        if key in self._hopeless or self._ride_along(workload, wanted):
            return
        ways = self._ways(workload, wanted)
        if not ways:
            self._hopeless.add(key)
            return
        _, cuts, victims = min(ways, key=lambda way: way[0])
        self._serve(workload)
        if wanted.profile and len(cuts) == 1:
            gone = {victim.name: victim for victim in victims}
            sheet = self._without(gone, self.sheets[cuts[0].device], wanted)
            self._emptied.append(_Emptied(sheet, [wanted], victims))
        for victim in victims:
            self._stop(victim, workload)
        self._order(cuts, victims)

    def _ways(self, workload: Workload, wanted: Wanted) -> list[tuple[Cost, tuple[Recut, ...], list[Workload]]]:
        """For nodes where a cut serves it once some of lower classes have left: what that costs, the cuts, and who."""
        claim = Claim(workload, self.quotas, self.rules)
        lower = {h.name: h for h in self.holders if h.name not in self.leaving and claim.may_take(h)}
        # With nobody to leave, only gangs have not been tried yet.
        nodes = self._by_node.items() if lower or _each(workload) > 1 else ()
        cheapest = min(map(claim.priority, lower.values()), default=0)
        ways = []
        for node, uuids in nodes:
            sheets = [self._without(lower, self.sheets[uuid], wanted) for uuid in uuids if uuid in self.sheets]
            recuts = plan_recuts(sheets, [wanted], self.asked)
            if not recuts.cuts or recuts.waits:
                continue
            victims = [lower[name] for name in dict.fromkeys(self._in_the_way(recuts.cuts))]
            if not self._admits(workload, victims) or not self._has_host(workload, wanted, node, victims):
                continue
            ways.append((cost_of(victims, claim.priority, self.now), recuts.cuts, victims))
            if len(victims) <= 1 and all(claim.priority(victim) == cheapest for victim in victims):
                break
        return ways

    def _ride_along(self, workload: Workload, wanted: Wanted) -> bool:
        """Make its slices too on a device that is emptied for others, where there is room beside theirs."""
        if not wanted.profile or not self._admits(workload, ()):
            return False
        for emptied in self._emptied:
            node = self._where[emptied.sheet.device][0].name
            much = (wanted.profile, wanted.count)
            if much in emptied.full or not self._has_host(workload, wanted, node, emptied.victims):
                continue
            recuts = plan_recuts([emptied.sheet], [*emptied.wanted, wanted], self.asked)
            if not recuts.waits and workload.name in recuts.cuts[0].serves:
                emptied.wanted.append(wanted)
                self._serve(workload)
                self._order(recuts.cuts, emptied.victims)
                return True
            if wanted.devices and emptied.sheet.device in wanted.devices:
                emptied.full.add(much)
        return False

    def _wanted(self, workload: Workload, when_left: bool = False) -> Wanted | None:
        """The smallest slices that would do and that a device can have; else whole devices, if those will do.

        With `when_left` what others hold of the nodes' hosts does not count.
        """
        for profile in (*sufficient_slices(workload), *(() if workload.slice or not workload.devices else ("",))):
            if devices := self._able_for(workload, profile, when_left):
                return Wanted(
                    workload=workload.name,
                    profile=profile,
                    priority=self._priority(workload),
                    waiting_seconds=self.now - workload.waiting_since,
                    count=workload.replicas,
                    devices=devices,
                )
        return None

    def _able_for(self, workload: Workload, profile: str, when_left: bool) -> frozenset[str]:
        """The devices that would do, by their memory, and by their node's model and what is free of its host."""
        host = Ask(models=workload.models) if when_left else _host(workload, profile)
        least = bytes_on(workload, profile)
        key = (profile, least, host)
        if key not in self._able:
            board = self.session.stock.board
            fits = board.fitting(host)
            open_to = {node.name for node, good in zip(board.nodes, fits, strict=True) if good}
            self._able[key] = frozenset(
                uuid
                for uuid, (node, _) in self._where.items()
                if node.name in open_to and self._memory(uuid, profile) >= least
            )
        return self._able[key]

    def _memory(self, uuid: str, profile: str) -> float:
        """Bytes of the device, or of such a slice of it; -1 when it has none such."""
        if not profile:
            return self._where[uuid][1].memory or math.inf
        found = self.sheets[uuid].geometry.profiles.get(profile) if uuid in self.sheets else None
        return -1 if found is None else found.memory

    def _without(self, lower: Mapping[str, Workload], sheet: Sheet, wanted: Wanted) -> Sheet:
        """The device when those of lower classes have left it who hold another form of it than is wanted."""
        parts = tuple(
            Part(part.slice, "", math.inf) if part.holder in lower and part.slice.profile != wanted.profile else part
            for part in sheet.parts
        )
        leave = bool(wanted.profile and sheet.holders) and all(name in lower for name in sheet.holders)
        if parts == sheet.parts and not leave:
            return sheet
        return replace(sheet, parts=parts, holders=() if leave else sheet.holders, idle_seconds=math.inf)

    def _in_the_way(self, cuts: Iterable[Recut]) -> Iterable[str]:
        for cut in cuts:
            sheet = self.sheets[cut.device]
            yield from sheet.holders
            yield from (part.holder for part in sheet.parts if part.holder and part.slice in cut.destroy)

    def _has_host(self, workload: Workload, wanted: Wanted, node: str, victims: Iterable[Workload]) -> bool:
        """Whether the node has the CPU and memory for it without the victims."""
        board, host = self.session.stock.board, _host(workload, wanted.profile)
        index = board.index(node)
        left = [p for victim in victims if victim.lease for p in victim.lease.pieces if p.node == node]
        return (
            index is not None
            and host.cpu <= board.cpu[index] + sum(piece.cpu for piece in left)
            and host.memory <= board.memory[index] + sum(piece.memory for piece in left)
        )

    def _admits(self, workload: Workload, victims: Iterable[Workload]) -> bool:
        trial = self.quotas.copy()
        for victim in victims:
            trial.remove(victim, victim.milli_devices)
        return not trial.refusal(workload, least_milli(workload))

    def _serve(self, workload: Workload) -> None:
        self.served.add(workload.name)
        self.quotas.add(workload, least_milli(workload))

    def _stop(self, victim: Workload, by: Workload) -> None:
        reason = f"{by.name} ({by.priority_class}) needs its devices, cut anew"
        self.quotas.remove(victim, victim.milli_devices)
        self.leaving[victim.name] = evicted(victim, by.name, reason, self.now)

    def _order(self, cuts: Iterable[Recut], victims: Sequence[Workload]) -> None:
        grace = max((victim.grace for victim in victims), default=0.0)
        for cut in cuts:
            until = self.now + grace + ORDER_SECONDS
            self.orders[cut.device] = Ordered(order_of(cut), cut.reason, cut.serves, until)
            self.sheets.pop(cut.device, None)

    def _priority(self, workload: Workload) -> int:
        return self.rules.priorities.get(workload.priority_class, 0)


def _host(workload: Workload, profile: str) -> Ask:
    """What its smallest part needs of a node beside devices."""
    if profile:
        return host_ask(workload)
    return replace(ask_of(workload, _each(workload)), devices=0, milli=WHOLE, device_memory=0)


def _each(workload: Workload) -> int:
    """The devices of the smallest part of it that has to be on one node."""
    return (workload.least or workload.devices) // workload.replicas
