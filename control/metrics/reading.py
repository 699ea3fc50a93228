"""One look at the whole plane: what gateways, engines, devices and control actors last said of themselves. Pure.

What has said nothing for `LIVE_SECONDS` is left out: a figure that nobody stands for any more is none. Of control
actors, and of replicas that should take traffic, it is kept how long they have been silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from control import device_load, engine_report, route_traffic, traffic, vector_report
from control.engine_report import EngineReport
from control.kernel.beats import read_beats
from control.kernel.ids import DOMAINS, SHARD_KIND
from control.kernel.store import Heartbeat, Object
from control.route_traffic import RouteTraffic
from control.specs.inventory import DeviceLoad
from control.traffic import Traffic
from control.vector_report import VectorReport

KINDS = ("Node", "Workload", "Deployment", SHARD_KIND)
"""The objects that a look needs."""
LIVE_SECONDS = 30.0
PHASES = ("observe", "decide", "record", "act")
"""Of a control actor's pass."""
OBJECTIVES = {"ttft": "ttft_ms", "itl": "itl_ms", "latency": "latency_p99_ms"}
"""Where each of a deployment's objectives stands under `sla`."""
NO_QUEUE = "none"
"""What the queue is called of workloads that name none."""


@dataclass(frozen=True)
class Gateway:
    """A gateway replica: when it said it, its traffic by application and by route, the mirrored copies that it left
    out, the streams that it ended because their replica was gone, and the lines that its access log lacks.
    """

    at: float
    apps: Mapping[str, Traffic]
    shadows_dropped: int
    streams_cut: int
    log_dropped: int
    routes: RouteTraffic


@dataclass(frozen=True)
class Engine:
    at: float
    report: EngineReport


@dataclass(frozen=True)
class Device:
    """A GPU. `held` is the part of it that is given out, 0 to 1, in so many `leases`; `load` None if not measured."""

    node: str
    uuid: str
    model: str
    simulated: bool
    trouble: str
    leases: int
    held: float
    load: DeviceLoad | None


@dataclass(frozen=True)
class Actor:
    """A control actor: seconds since its last sign of life (None: never one), and in each phase of its last pass."""

    name: str
    silent: float | None
    phases: Mapping[str, float]


@dataclass(frozen=True)
class Backlog:
    """The workloads of a queue that wait for devices, and for how many seconds the one that has waited longest."""

    queue: str
    pending: int
    oldest: float


@dataclass(frozen=True)
class Deployment:
    """`apps` are the applications that take its traffic, or copies of it.

    `objectives_ms` are those of its SLA, by what they are about: ttft, itl, latency. `utilisation` is how busy its
    devices should be at least, 0 to 1; None where it has no such objective.
    """

    name: str
    phase: str
    wanted: int
    serving: int
    apps: frozenset[str]
    objectives_ms: Mapping[str, float]
    utilisation: float | None


@dataclass(frozen=True)
class Shard:
    """A shard of a collection: the epoch of its leader (0: it never had one), how many replicas belong to it, and
    whether it has the rows of the layout before it.
    """

    collection: str
    number: int
    phase: str
    epoch: int
    members: int
    filled: bool = True


@dataclass(frozen=True)
class Reading:
    """`gateways` by their ids, `engines` by application, `holders` the devices that each workload has, `vectors` what
    each replica of a shard said, by its actor.

    `silent` tells of each application that a deployment names for how many seconds it has said nothing, None if it
    never said anything.
    """

    at: float
    gateways: Mapping[str, Gateway]
    engines: Mapping[str, Engine]
    silent: Mapping[str, float | None]
    devices: Mapping[str, Device]
    holders: Mapping[str, frozenset[str]]
    actors: tuple[Actor, ...]
    backlog: tuple[Backlog, ...]
    deployments: tuple[Deployment, ...]
    vectors: Mapping[str, VectorReport] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()


def reading_of(stored: Iterable[Object], beats: Iterable[Heartbeat], now: float) -> Reading:
    """`stored` are objects of `KINDS`, `beats` those of everybody. Who cannot be understood counts as silent."""
    stored, beats = tuple(stored), tuple(beats)
    live = tuple(beat for beat in beats if now - beat.at <= LIVE_SECONDS)
    workloads = [o for o in stored if o.kind == "Workload"]
    parents = _parents([o for o in stored if o.kind == "Node"])
    deployments = tuple(_deployment(o) for o in stored if o.kind == "Deployment")
    last = {beat.actor: beat.at for beat in beats}
    heard = {app: last.get(engine_report.BEAT_PREFIX + app) for one in deployments for app in sorted(one.apps)}
    return Reading(
        at=now,
        gateways=_gateways(live),
        engines=_engines(live),
        silent={app: None if at is None else max(0.0, now - at) for app, at in heard.items()},
        devices=_devices([o for o in stored if o.kind == "Node"], _given(workloads, parents), _loads(live)),
        holders={o.name: frozenset(uuid for uuid, _ in _pieces(o, parents)) for o in workloads},
        actors=_actors(beats, now),
        backlog=_backlog(workloads, now),
        deployments=deployments,
        vectors=_vectors(live),
        shards=tuple(_shard(o) for o in stored if o.kind == SHARD_KIND),
    )


def _gateways(beats: Iterable[Heartbeat]) -> dict[str, Gateway]:
    said = read_beats(beats, traffic.BEAT_PREFIX, _gateway)
    return {name: replace(gateway, at=at) for name, at, gateway in said}


def _gateway(body: Mapping[str, Any]) -> Gateway:
    return Gateway(
        at=0.0,
        apps=traffic.parse(body),
        shadows_dropped=int(body.get("shadows_dropped", 0)),
        streams_cut=int(body.get("streams_cut", 0)),
        log_dropped=int(body.get("log_dropped", 0)),
        routes=route_traffic.parse(body),
    )


def _engines(beats: Iterable[Heartbeat]) -> dict[str, Engine]:
    said = read_beats(beats, engine_report.BEAT_PREFIX, engine_report.parse)
    return {app: Engine(at, report) for app, at, report in said}


def _vectors(beats: Iterable[Heartbeat]) -> dict[str, VectorReport]:
    said = read_beats(beats, vector_report.BEAT_PREFIX, vector_report.parse)
    return {vector_report.BEAT_PREFIX + rest: report for rest, _, report in said}


def _shard(stored: Object) -> Shard:
    told = stored.spec
    filled = told.get("filled", 0) >= 0
    return Shard(told["collection"], told["number"], told["phase"], told["epoch"], len(told["members"]), filled)


def _loads(beats: Iterable[Heartbeat]) -> dict[str, DeviceLoad]:
    said = read_beats(beats, device_load.BEAT_PREFIX, device_load.parse)
    return {load.uuid: load for _, _, loads in said for load in loads}


def _parents(nodes: Iterable[Object]) -> dict[str, str]:
    """The device of each device and slice."""
    devices = [device for node in nodes for device in node.spec.get("devices", ())]
    slices = {one["uuid"]: device["uuid"] for device in devices for one in device.get("slices", ())}
    return {device["uuid"]: device["uuid"] for device in devices} | slices


def _pieces(workload: Object, parents: Mapping[str, str]) -> list[tuple[str, int]]:
    """The devices that a workload holds, or has slices of, each with the thousandths that it has."""
    pieces = (workload.status.get("lease") or {}).get("pieces", ())
    return [(parents.get(uuid, uuid), int(piece["milli"])) for piece in pieces for uuid in piece["devices"]]


def _given(workloads: Iterable[Object], parents: Mapping[str, str]) -> dict[str, list[int]]:
    """By device, the thousandths of each lease on it."""
    found: dict[str, list[int]] = {}
    for workload in workloads:
        for uuid, milli in _pieces(workload, parents):
            found.setdefault(uuid, []).append(milli)
    return found


def _devices(
    nodes: Iterable[Object], given: Mapping[str, list[int]], loads: Mapping[str, DeviceLoad]
) -> dict[str, Device]:
    return {
        told["uuid"]: Device(
            node=node.name,
            uuid=told["uuid"],
            model=str(node.spec.get("gpu_model", "")),
            simulated=bool(node.spec.get("simulated")),
            trouble=str(told.get("trouble", "")),
            leases=len(given.get(told["uuid"], ())),
            held=sum(given.get(told["uuid"], ())) / 1000,
            load=loads.get(told["uuid"]),
        )
        for node in nodes
        for told in node.spec.get("devices", ())
    }


def _actors(beats: Iterable[Heartbeat], now: float) -> tuple[Actor, ...]:
    last = {beat.actor: beat for beat in beats}
    return tuple(
        Actor(name, max(0.0, now - last[name].at), _phases(last[name].body)) if name in last else Actor(name, None, {})
        for name in DOMAINS
    )


def _phases(body: Mapping[str, Any]) -> dict[str, float]:
    return {phase: float(body[phase]) for phase in PHASES if phase in body}


def _backlog(workloads: Iterable[Object], now: float) -> tuple[Backlog, ...]:
    """Every queue that any workload names, so that one that has emptied is seen to be empty."""
    waits: dict[str, list[float]] = {}
    for workload in workloads:
        waiting = waits.setdefault(workload.spec.get("spec", {}).get("queue") or NO_QUEUE, [])
        if workload.status.get("phase") == "Pending":
            waiting.append(now - (workload.status.get("waiting_since") or workload.created_at))
    return tuple(Backlog(queue, len(found), max(found, default=0.0)) for queue, found in sorted(waits.items()))


def _deployment(stored: Object) -> Deployment:
    status = stored.status
    counts = status.get("replicas", {})
    sla = stored.spec.get("spec", {}).get("sla") or {}
    arms = (*status.get("arms", ()), *status.get("shadows", ()))
    return Deployment(
        name=stored.name,
        phase=str(status.get("phase", "Waiting")),
        wanted=int(counts.get("wanted", 0)),
        serving=int(counts.get("serving", 0)),
        apps=frozenset(told["app"] for arm in arms for told in arm.get("replicas", ())),
        objectives_ms={about: float(sla[key]) for about, key in OBJECTIVES.items() if sla.get(key) is not None},
        utilisation=sla.get("utilization"),
    )
