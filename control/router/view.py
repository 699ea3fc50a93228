"""What the router observes: deployments and versions from the store, applications from Serve."""

from __future__ import annotations

from control.kernel.ids import TABLE_KIND
from control.kernel.placement import placement_of
from control.kernel.present import Drive
from control.kernel.store import Object, Store
from control.router.state import Deployment, Snapshot, Surroundings, Version
from control.specs.deployment import Deployment as DeploymentDocument


def observe(store: Store, drive: Drive, surroundings: Surroundings, now: float) -> Snapshot:
    apps = drive.apps()  # before the store: an application seen here was asked for by something stored
    live = frozenset(node.node_id for node in drive.nodes())
    stored = store.list("Deployment", "ModelVersion", "Workload", TABLE_KIND)
    tables = [o for o in stored if o.kind == TABLE_KIND]
    return Snapshot(
        now=now,
        deployments=tuple(_deployment(o) for o in stored if o.kind == "Deployment"),
        versions=tuple(
            Version(o.spec["model"], o.spec["version"], o.spec["source"]) for o in stored if o.kind == "ModelVersion"
        ),
        asked={o.name: o.spec["spec"] for o in stored if o.kind == "Workload"},
        placements={o.name: placement_of(o.status, live) for o in stored if o.kind == "Workload"},
        apps=apps,
        routed=frozenset(arm["url"] for o in tables for m in o.spec["models"].values() for arm in m["arms"]),
        published_at=max((o.updated_at for o in tables), default=0.0),
        surroundings=surroundings,
    )


def _deployment(stored: Object) -> Deployment:
    spec = DeploymentDocument.model_validate(stored.spec).spec
    return Deployment(
        name=stored.name,
        revision=stored.revision,
        generation=stored.generation,
        model=spec.model,
        version=None if spec.version == "latest" else spec.version,
        workload=spec.workload.model_dump(mode="json", exclude_defaults=True),
        share_memory=spec.device_memory if spec.share else 0,
        engine=spec.engine,
        status=stored.status,
    )
