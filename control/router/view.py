"""What the router observes: deployments and versions from the store, applications from Serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from control import engine_report
from control.engine_report import EngineReport
from control.kernel.beats import read_beats
from control.kernel.ids import TABLE_KIND, TABLE_NAME, WAKE_PREFIX
from control.kernel.placement import placement_of
from control.kernel.present import Drive
from control.kernel.store import Heartbeat, Object, Store
from control.router.judgements import KIND as JUDGEMENT
from control.router.judgements import Scores, scores_of
from control.router.recent import Recent
from control.router.rollout_state import Action, Request
from control.router.state import Build, Deployment, Snapshot, Surroundings, Version
from control.specs.deployment import Adapter
from control.specs.deployment import Deployment as DeploymentDocument
from control.traffic import BEAT_PREFIX, Traffic, parse

LATELY_SECONDS = 10.0
"""How long what a replica said of itself counts."""
REQUEST_KIND = "RolloutRequest"
"""What a person asked of a roll-out: `deployment` (the uid, so that it is no request to a later one of that name),
`action` and `who`."""


def observe(store: Store, drive: Drive, surroundings: Surroundings, recent: Recent, now: float) -> Snapshot:
    apps = drive.apps()  # before the store: an application seen here was asked for by something stored
    live = frozenset(node.node_id for node in drive.nodes())
    stored = store.list("Deployment", "ModelVersion", "Workload", REQUEST_KIND, JUDGEMENT, TABLE_KIND)
    tables = [o for o in stored if o.kind == TABLE_KIND and o.name == TABLE_NAME]
    requests = {o.spec["deployment"]: _request(o) for o in stored if o.kind == REQUEST_KIND}
    judged: dict[str, dict[int, Scores]] = {}
    for one in (o for o in stored if o.kind == JUDGEMENT):
        judged.setdefault(one.spec["deployment"], {})[int(one.name.rpartition("@")[2])] = scores_of(one.spec)
    beats = store.heartbeats()
    traffic = _traffic(beats)
    sources = {(o.spec["model"], o.spec["version"]): o.spec["source"] for o in stored if o.kind == "ModelVersion"}
    return Snapshot(
        now=now,
        deployments=tuple(
            replace(_deployment(o, requests.get(o.uid), sources), judged=judged.get(o.uid, {}))
            for o in stored
            if o.kind == "Deployment"
        ),
        versions=tuple(
            Version(
                o.spec["model"], o.spec["version"], o.spec["source"], o.status.get("refuses", {}).get("production", "")
            )
            for o in stored
            if o.kind == "ModelVersion"
        ),
        asked={o.name: o.spec["spec"] for o in stored if o.kind == "Workload"},
        placements={o.name: placement_of(o.status, live) for o in stored if o.kind == "Workload"},
        apps=apps,
        routed=frozenset(
            replica["url"]
            for o in tables
            for model in o.spec["models"].values()
            for group in (*model["arms"], *model.get("shadows", ()))
            for replica in group.get("replicas", ())
        ),
        published_at=max((o.updated_at for o in tables), default=0.0),
        surroundings=surroundings,
        traffic=traffic,
        recent=recent.look(traffic, now),
        engines=_engines(beats, now),
        wakes={name: at for name, at, _ in read_beats(beats, WAKE_PREFIX, dict)},
    )


def _traffic(beats: Iterable[Heartbeat]) -> Mapping[str, Mapping[str, Traffic]]:
    """By application and gateway replica, those that are gone too: what they counted still counts."""
    found: dict[str, dict[str, Traffic]] = {}
    for gateway, _, counted in read_beats(beats, BEAT_PREFIX, parse):
        for app, traffic in counted.items():
            found.setdefault(app, {})[gateway] = traffic
    return found


def _engines(beats: Iterable[Heartbeat], now: float) -> Mapping[str, EngineReport]:
    """By application; what was said too long ago says nothing."""
    said = read_beats(beats, engine_report.BEAT_PREFIX, engine_report.parse)
    return {app: report for app, at, report in said if now - at < LATELY_SECONDS}


def _request(stored: Object) -> Request:
    """Each time that it is written is a new request."""
    return Request(stored.generation, Action(stored.spec["action"]), stored.spec["who"])


def _deployment(stored: Object, request: Request | None, sources: Mapping[tuple[str, int], str]) -> Deployment:
    """`sources`: where the files of each model's versions are."""
    spec = DeploymentDocument.model_validate(stored.spec).spec
    return Deployment(
        name=stored.name,
        revision=stored.revision,
        generation=stored.generation,
        version=None if spec.version == "latest" else spec.version,
        build=Build(
            model=spec.model,
            workload=spec.workload.model_dump(mode="json", exclude_defaults=True),
            share_memory=spec.device_memory if spec.share else 0,
            engine=spec.engine,
            adapters={one.name: source for one in spec.adapters if (source := _source(one, sources))},
        ),
        replicas=spec.replicas,
        rollout=spec.rollout,
        autoscaling=spec.autoscaling,
        sla=spec.sla,
        request=request,
        status=stored.status,
    )


def _source(adapter: Adapter, sources: Mapping[tuple[str, int], str]) -> str:
    """Empty while no version that would do is registered."""
    versions = [version for model, version in sources if model == adapter.model]
    version = max(versions, default=0) if adapter.version == "latest" else adapter.version
    return sources.get((adapter.model, version), "")
