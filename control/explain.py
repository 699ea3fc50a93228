"""Why an object is as it is: its own reason, then the reasons of what it waits for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from control.insight import why_of
from control.kernel.ids import VECTORS_WORKLOAD_PREFIX, StepName, life_of, run_name
from control.kernel.store import Object


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing; `depth` says under which finding it stands."""

    depth: int
    about: str
    phase: str
    reason: str


@dataclass(frozen=True)
class _World:
    """What an explanation may look up."""

    stored: tuple[Object, ...]
    by_name: dict[tuple[str, str], Object]
    now: float


def explain(subject: Object, stored: Iterable[Object], now: float) -> tuple[Finding, ...]:
    """The subject first, then what it depends on, down to the scheduler's answers and what would change them."""
    stored = tuple(stored)
    world = _World(stored, {(o.kind, o.name): o for o in stored}, now)
    findings = _explain(subject, world, 0)
    if subject.kind == "Workload":
        rules = why_of(subject.name, stored, now).nodes
        findings += tuple(Finding(1, f"Node/{node}", "", rule) for node, rule in rules)
    return findings


def _explain(subject: Object, world: _World, depth: int) -> tuple[Finding, ...]:
    findings: tuple[Finding, ...] = (_finding(subject, depth),)
    if subject.kind == "Workload":
        findings += tuple(Finding(depth + 1, "", "", said) for said in _why(subject, world))
    for needed in _needs(subject):
        found = world.by_name.get(needed)
        if found is not None:
            findings += _explain(found, world, depth + 1)
    if subject.kind == "Run":
        for task, status in subject.status.get("tasks", {}).items():
            findings += (Finding(depth + 1, f"task {task}", status["state"], status["reason"]),)
            name = StepName(subject.name, life_of(subject.spec["uid"]), task, 1).workload
            for needed in (("Workload", name), ("Deployment", status["outputs"].get("deployment", ""))):
                if (found := world.by_name.get(needed)) is not None:
                    findings += _explain(found, world, depth + 2)
    if subject.kind == "Collection":
        for shard in subject.status.get("shards", ()):
            findings += tuple(_shard(shard, depth + 1))
        for shard in subject.status.get("move", ()):
            findings += tuple(_shard(shard, depth + 1, "new shard"))
        for workload in (o for o in world.stored if o.kind == "Workload" and _is_of(o, subject)):
            if workload.status.get("phase") == "Pending":
                findings += _explain(workload, world, depth + 1)
    return findings


def _shard(told: Mapping[str, Any], depth: int, called: str = "shard") -> Iterator[Finding]:
    """A shard of a collection and its replicas, and what they lack."""
    said = told["waits"] or f"replica {told['leader']} leads epoch {told['epoch']}"
    fills = f"; it {told['fills']}" if told.get("fills") else ""
    yield Finding(depth, f"{called} {told['shard']}", told["phase"], said + fills)
    for lack in told["lacks"]:
        yield Finding(depth + 1, "lacks", "", lack)
    for one in told["replicas"]:
        where = f"on {one['node']}" if one["node"] else "nowhere yet"
        builds = "; builds indexes anew" if one["builds"] else ""
        yield Finding(depth + 1, f"replica {one['replica']}", one["state"], where + builds)


def _is_of(workload: Object, collection: Object) -> bool:
    return workload.name.startswith(f"{VECTORS_WORKLOAD_PREFIX}{collection.name}.{life_of(collection.uid)}.")


def _why(workload: Object, world: _World) -> tuple[str, ...]:
    return why_of(workload.name, world.stored, world.now).sentences


def _finding(subject: Object, depth: int) -> Finding:
    lease = subject.status.get("lease")
    reason = subject.status.get("reason") or "its domain has not looked at it yet"
    if lease:
        held = (f"{', '.join(piece['devices']) or 'memory'} on {piece['node']}" for piece in lease["pieces"])
        reason += f"; holds {', '.join(held)}"
    if analysis := subject.status.get("analysis"):
        reason += f"; {analysis}"
    if not subject.status and subject.kind not in _WITH_STATUS:
        reason = f"generation {subject.generation} is what is wanted"
    return Finding(depth, f"{subject.kind}/{subject.name}", subject.status.get("phase", ""), reason)


_WITH_STATUS = frozenset({"Run", "Workload", "Deployment", "ModelVersion", "Collection"})


def _needs(subject: Object) -> tuple[tuple[str, str], ...]:
    match subject.kind:
        case "Workflow":
            return (("Run", run_name(subject.name, subject.generation)),)
        case "Deployment":
            return (("Workload", subject.status.get("workload", "")),)
        case _:
            return ()
