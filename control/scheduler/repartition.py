"""How devices should be cut anew: for requests that wait, and for layouts that are declared. Pure.

On demand a device is cut only so that a request fits which does not fit now, with everything that it asks for. What is
in use is never touched, nor an idle slice that somebody who waits is about to get. Creating beside what is there comes
before destroying, destroying few before destroying many, and whole devices are cut last. What was made or given back
less than SETTLE_SECONDS ago is left alone, so that no plan undoes the one before.

A declared layout is had by the arrangement that makes the fewest workloads leave; those have to leave first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from control.scheduler.mig import Geometry, Placed, arrangements
from control.scheduler.mig_choice import Cut, choose
from control.scheduler.mig_layouts import Illegal, count_fault, fault_of, shown
from control.scheduler.state import Slice

SETTLE_SECONDS = 10.0
"""Longer than creating an instance and the scheduler's next pass take: what was made for somebody is then in use."""


@dataclass(frozen=True)
class Part:
    """A MIG instance. `holder` is the workload that has it; without one it has been idle for so many seconds."""

    slice: Slice
    holder: str = ""
    idle_seconds: float = 0.0

    @property
    def placed(self) -> Placed:
        return Placed(self.slice.profile, self.slice.start)


@dataclass(frozen=True)
class Sheet:
    """A device that may be cut: in MIG mode its `parts`, else `holders`, the workloads on the whole of it.

    `idle_seconds`: since when it is in this mode without a holder of the whole.
    """

    device: str
    geometry: Geometry
    mig: bool
    parts: tuple[Part, ...] = ()
    holders: tuple[str, ...] = ()
    idle_seconds: float = 0.0


@dataclass(frozen=True)
class Wanted:
    """`count` slices of a profile that a workload has waited for so many seconds; no profile: whole devices.

    `devices` are those that would do for it, by their memory, their model and what is free of their node; None: any.
    """

    workload: str
    profile: str
    priority: int
    waiting_seconds: float
    count: int = 1
    devices: frozenset[str] | None = None


@dataclass(frozen=True)
class Recut:
    """A device to be cut anew, `mig` being its mode from then on: first `destroy`, then `create`.

    The workloads of `leave` hold what has to be destroyed: as long as one of them does, nothing is done. `serves` are
    those who waited for it.
    """

    device: str
    mig: bool
    destroy: tuple[Slice, ...]
    create: tuple[Placed, ...]
    reason: str
    leave: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waits:
    """A workload that no cut can serve now."""

    workload: str
    reason: str


@dataclass(frozen=True)
class Recuts:
    cuts: tuple[Recut, ...]
    waits: tuple[Waits, ...]


@dataclass(frozen=True)
class _Draft:
    """A device as it would be. `promised` are uuids of parts, or of the device: they are for somebody who waits.

    What is not `legible` is given out as it is, and not cut.
    """

    sheet: Sheet
    legible: bool
    mig: bool
    parts: tuple[Part, ...]
    promised: frozenset[str] = frozenset()
    created: tuple[Placed, ...] = ()
    serves: tuple[str, ...] = ()

    @classmethod
    def of(cls, sheet: Sheet) -> _Draft:
        """`legible` unless the driver keeps for itself where the slices start, or has some that nobody knows here."""
        legible = fault_of(sheet.geometry, (part.placed for part in sheet.parts)) is None
        return cls(sheet, legible, sheet.mig, sheet.parts)

    @cached_property
    def cut(self) -> Cut:
        return Cut.of(self.sheet.geometry, [*(part.placed for part in self.parts), *self.created])

    def can_be_cut(self, profile: str) -> bool:
        return self.mig and self.legible and profile in self.sheet.geometry.profiles

    def whole_and_idle(self) -> bool:
        return not (self.mig or self.sheet.holders or self.sheet.device in self.promised)

    def removable(self, part: Part) -> bool:
        return not part.holder and part.idle_seconds >= SETTLE_SECONDS and part.slice.uuid not in self.promised

    def creating(self, placed: Placed, workload: str) -> _Draft:
        """With the instance, in place of those that it overlaps."""
        footprint = self.sheet.geometry.footprint
        parts = tuple(part for part in self.parts if not footprint(part.placed) & footprint(placed))
        return replace(self, mig=True, parts=parts, created=(*self.created, placed), serves=(*self.serves, workload))


_Drafts = Mapping[str, _Draft]


def plan_recuts(sheets: Iterable[Sheet], wanted: Iterable[Wanted], asked: Mapping[str, int]) -> Recuts:
    """What to cut for those who wait, the highest priority and then the longest waiting first.

    `asked` counts how often each profile was asked for so far.
    """
    drafts: _Drafts = {sheet.device: _Draft.of(sheet) for sheet in sheets}
    waits: list[Waits] = []
    # What could not be had by one can be had by nobody after: there is only ever less.
    hopeless: dict[tuple[str, int, frozenset[str] | None], str] = {}
    for one in sorted(wanted, key=lambda w: (-w.priority, -w.waiting_seconds, w.workload)):
        much = (one.profile, one.count, one.devices)
        served = None if much in hopeless else _serve(drafts, one, asked)
        if served is None:
            waits.append(Waits(one.workload, hopeless.setdefault(much, _why_not(drafts, one))))
        else:
            drafts = served
    return Recuts(tuple(_recut(draft) for draft in drafts.values() if draft.serves), tuple(waits))


def _serve(drafts: _Drafts, one: Wanted, asked: Mapping[str, int]) -> _Drafts | None:
    """The drafts with all that the workload wants, each by the first rule that finds it; None when one is missing."""
    for _ in range(one.count):
        rules = _FOR_A_SLICE if one.profile else _FOR_A_DEVICE
        able = _able(drafts, one)
        changed = next(filter(None, (rule(able, one, asked) for rule in rules)), None)
        if changed is None:
            return None
        drafts = {**drafts, changed.sheet.device: changed}
    return drafts


def _able(drafts: _Drafts, one: Wanted) -> tuple[_Draft, ...]:
    """Those whose devices would do."""
    return tuple(d for d in drafts.values() if one.devices is None or d.sheet.device in one.devices)


def _idle_slice(drafts: Sequence[_Draft], one: Wanted, _: Mapping[str, int]) -> _Draft | None:
    for draft in drafts:
        for part in draft.parts:
            uuid = part.slice.uuid
            if part.slice.profile == one.profile and not part.holder and uuid not in draft.promised:
                return replace(draft, promised=draft.promised | {uuid})
    return None


def _beside(drafts: Sequence[_Draft], one: Wanted, asked: Mapping[str, int]) -> _Draft | None:
    """On slices that are free: where the profile is the smallest part of its device first."""
    able = [draft for draft in drafts if draft.can_be_cut(one.profile)]
    for geometry in sorted({draft.sheet.geometry for draft in able}, key=lambda g: (_part(g, one.profile), g.model)):
        alike = [draft for draft in able if draft.sheet.geometry == geometry]
        if found := choose(geometry, [draft.cut for draft in alike], one.profile, asked):
            index, start = found
            return alike[index].creating(Placed(one.profile, start), one.workload)
    return None


def _part(geometry: Geometry, profile: str) -> float:
    return geometry.profiles[profile].memory_slices / geometry.memory_slices


def _instead(drafts: Sequence[_Draft], one: Wanted, _: Mapping[str, int]) -> _Draft | None:
    """In place of idle slices: of the fewest, then the smallest, then on the device with the least room."""
    ways: list[tuple[tuple[int, int, int], _Draft]] = []
    for draft in drafts:
        if not draft.can_be_cut(one.profile):
            continue
        geometry = draft.sheet.geometry
        created = geometry.taken(draft.created)
        for start in geometry.starts(created, one.profile):
            placed = Placed(one.profile, start)
            gone = [p for p in draft.parts if geometry.footprint(p.placed) & geometry.footprint(placed)]
            if all(map(draft.removable, gone)):
                size = sum(geometry.profiles[part.slice.profile].memory_slices for part in gone)
                room = geometry.room(draft.cut.taken)
                ways.append(((len(gone), size, room), draft.creating(placed, one.workload)))
    return min(ways, key=lambda way: way[0])[1] if ways else None


def _out_of_a_whole(drafts: Sequence[_Draft], one: Wanted, asked: Mapping[str, int]) -> _Draft | None:
    for draft in drafts:
        geometry = draft.sheet.geometry
        if draft.whole_and_idle() and draft.sheet.idle_seconds >= SETTLE_SECONDS and one.profile in geometry.profiles:
            found = choose(geometry, [Cut()], one.profile, asked)
            assert found is not None, "every profile has a start on an empty device"
            return draft.creating(Placed(one.profile, found[1]), one.workload)
    return None


def _idle_device(drafts: Sequence[_Draft], _one: Wanted, _: Mapping[str, int]) -> _Draft | None:
    whole = next((draft for draft in drafts if draft.whole_and_idle()), None)
    return whole and replace(whole, promised=whole.promised | {whole.sheet.device})


def _made_whole(drafts: Sequence[_Draft], one: Wanted, _: Mapping[str, int]) -> _Draft | None:
    """A device of which nothing is in use, with the fewest slices."""
    able = [
        draft
        for draft in drafts
        if draft.mig
        and draft.legible
        and not draft.created
        and draft.sheet.idle_seconds >= SETTLE_SECONDS
        and all(map(draft.removable, draft.parts))
    ]
    if not able:
        return None
    fewest = min(able, key=lambda draft: len(draft.parts))
    promised = fewest.promised | {fewest.sheet.device}
    return replace(fewest, mig=False, parts=(), promised=promised, serves=(*fewest.serves, one.workload))


_FOR_A_SLICE = (_idle_slice, _beside, _instead, _out_of_a_whole)
_FOR_A_DEVICE = (_idle_device, _made_whole)


def _why_not(drafts: _Drafts, one: Wanted) -> str:
    able = [draft for draft in _able(drafts, one) if not one.profile or one.profile in draft.sheet.geometry.profiles]
    what = f"{one.count} × {one.profile or 'a whole device'}" if one.count > 1 else one.profile or "a whole device"
    if not able:
        return f"{one.profile} is no profile of any device that may be cut ({len(drafts)})"
    return (
        f"no place for {what} on any device that may be cut so ({len(able)}): what is there is in use, is for others"
        f" who wait, or was made or given back less than {SETTLE_SECONDS:.0f} s ago"
    )


def _recut(draft: _Draft) -> Recut:
    kept = {part.slice for part in draft.parts}
    destroy = tuple(part.slice for part in draft.sheet.parts if part.slice not in kept)
    what = shown(draft.created) if draft.mig else "a whole device"
    gone = f", in place of the idle {shown(Placed(s.profile, s.start) for s in destroy)}" if destroy else ""
    serves = tuple(dict.fromkeys(draft.serves))
    reason = f"{what} for {', '.join(serves)}{gone}"
    return Recut(draft.sheet.device, draft.mig, destroy, draft.created, reason, serves=serves)


def plan_layout(sheet: Sheet, layout: str, counts: Mapping[str, int]) -> Recut | Illegal | None:
    """How a device gets to a declared layout; None when it has it. No counts: the whole device, without MIG."""
    if (fault := count_fault(sheet.geometry, counts)) is not None:
        return fault
    there = Counter(part.slice.profile for part in sheet.parts)
    if there == Counter(dict(counts)) and sheet.mig is bool(there):
        return None
    ways = [_towards(sheet, layout, placed) for placed in arrangements(sheet.geometry, counts)]
    return min(ways, key=lambda recut: (len(recut.leave), len(recut.destroy)))


def _towards(sheet: Sheet, layout: str, placed: Sequence[Placed]) -> Recut:
    gone = [part for part in sheet.parts if part.placed not in placed]
    there = {part.placed for part in sheet.parts}
    leave = tuple(sorted({*sheet.holders, *(part.holder for part in gone if part.holder)}))
    reason = f"the layout {layout} wants {shown(placed) if placed else 'the whole device'}"
    if leave:
        reason += f", where there is no room for what {', '.join(leave)} {'hold' if leave[1:] else 'holds'}"
    return Recut(
        device=sheet.device,
        mig=bool(placed),
        destroy=tuple(part.slice for part in gone),
        create=tuple(one for one in placed if one not in there),
        reason=reason,
        leave=leave,
    )
