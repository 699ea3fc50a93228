"""The questions of the article's health script, answered from the store: does the control plane decide, what waits for
devices, what serves, how busy the devices are, and how long requests take. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from control.kernel.beats import read_beats
from control.kernel.ids import DOMAINS, AppName
from control.kernel.store import Heartbeat, Object
from control.traffic import BEAT_PREFIX, Traffic, parse, quantile

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Component:
    """A control actor: how many seconds ago it gave a sign of life, None if never."""

    name: str
    ok: bool
    seconds_ago: float | None


@dataclass(frozen=True)
class Backlog:
    """A workload that waits for devices, since when and why."""

    workload: str
    devices: int
    seconds: float
    reason: str


@dataclass(frozen=True)
class Server:
    """A deployment: what of it serves, and why not if it does not."""

    deployment: str
    phase: str
    reason: str
    versions: tuple[int, ...]


@dataclass(frozen=True)
class Devices:
    """Whole devices, and what is held of them; `troubled` names those that take nothing."""

    devices: int
    held: float
    simulated: bool
    troubled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Latency:
    """What the gateway saw of one application since its replicas began: milliseconds by quantile, None of nothing."""

    app: str
    deployment: str
    version: int
    requests: int
    errors: int
    latency_ms: Mapping[str, float | None]
    ttft_ms: Mapping[str, float | None]
    itl_ms: Mapping[str, float | None]


@dataclass(frozen=True)
class Health:
    """`problems` has a sentence for everything that is not as it should be; empty when all is well."""

    components: tuple[Component, ...]
    policy: str
    backlog: tuple[Backlog, ...]
    servers: tuple[Server, ...]
    devices: Devices
    latency: tuple[Latency, ...]
    problems: tuple[str, ...] = field(default=())


def health_of(
    stored: Iterable[Object],
    beats: Iterable[Heartbeat],
    held: float,
    *,
    stale: float,
    now: float,
) -> Health:
    """`held` devices are in use; a control actor that has not beaten for `stale` seconds is a problem."""
    stored, beats = tuple(stored), tuple(beats)
    ages = {beat.actor: now - beat.at for beat in beats}
    components = tuple(Component(name, ages.get(name, stale + 1) <= stale, ages.get(name)) for name in DOMAINS)
    backlog = tuple(_waiting(o, now) for o in stored if o.kind == "Workload" and o.status.get("phase") == "Pending")
    servers = tuple(_server(o) for o in stored if o.kind == "Deployment")
    devices = _devices([o for o in stored if o.kind == "Node"], held)
    policies = [o.name for o in stored if o.kind == "ClusterPolicy"]
    problems = [f"{one.name} gives no sign of life" for one in components if not one.ok]
    problems += [f"{one.workload} waits for {one.devices} device(s): {one.reason}" for one in backlog]
    problems += [f"deployment {s.deployment} is {s.phase}: {s.reason}" for s in servers if s.phase != "Ready"]
    problems += [told["message"] for o in stored if o.kind == "Deployment" for told in o.status.get("missed", ())]
    problems += [f"device {one} is in trouble" for one in devices.troubled]
    problems += [
        f"collection {o.name} is {o.status.get('phase', 'Starting')}: {o.status.get('reason', 'not seen yet')}"
        for o in stored
        if o.kind == "Collection" and o.status.get("phase") not in ("Ready", "Rebuilding", "Moving")
    ]
    return Health(
        components,
        f"{', '.join(policies)} applied" if policies else "no ClusterPolicy: the stated defaults",
        backlog,
        servers,
        devices,
        tuple(_latency(app, traffic) for app, traffic in sorted(traffic_of(beats).items())),
        tuple(problems),
    )


def traffic_of(beats: Iterable[Heartbeat]) -> dict[str, Traffic]:
    """By application, over all gateway replicas. A replica whose figures cannot be read counts as none."""
    found: dict[str, list[Traffic]] = {}
    for _, _, counted in read_beats(beats, BEAT_PREFIX, parse):
        for app, traffic in counted.items():
            found.setdefault(app, []).append(traffic)
    return {app: reduce(add, parts) for app, parts in found.items()}


def _waiting(stored: Object, now: float) -> Backlog:
    since = stored.status.get("waiting_since") or stored.created_at
    devices = int(stored.spec.get("spec", {}).get("devices", 0))
    return Backlog(stored.name, devices, now - since, str(stored.status.get("reason", "")))


def _server(stored: Object) -> Server:
    versions = tuple(sorted({int(arm["version"]) for arm in stored.status.get("arms", ())}))
    phase = str(stored.status.get("phase", "Waiting"))
    return Server(stored.name, phase, str(stored.status.get("reason", "the router has not seen it yet")), versions)


def _devices(nodes: Iterable[Object], held: float) -> Devices:
    count, simulated, troubled = 0, False, []
    for node in nodes:
        devices = node.spec.get("devices", ())
        count += len(devices)
        simulated = simulated or bool(node.spec.get("simulated"))
        troubled += [f"{one['uuid']} ({one['trouble']})" for one in devices if one.get("trouble")]
    return Devices(count, held, simulated, tuple(troubled))


def _latency(app: str, traffic: Traffic) -> Latency:
    name = AppName.parse(app)

    def at(histogram: Mapping[int, int]) -> dict[str, float | None]:
        return {f"p{100 * q:g}": _rounded(quantile(histogram, q)) for q in QUANTILES}

    return Latency(
        app,
        name.deployment if name else app,
        name.version if name else 0,
        traffic.requests,
        traffic.errors,
        at(traffic.latency_ms),
        at(traffic.ttft_ms),
        at(traffic.itl_ms),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
