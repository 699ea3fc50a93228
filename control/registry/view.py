"""What the registry observes: MLflow's versions and aliases, the stored versions, the deployments that are ready."""

from __future__ import annotations

from control.kernel.store import Object, Store
from control.registry.decide import PRODUCTION_ALIAS
from control.registry.mlflow_door import MlflowDoor
from control.registry.state import KnownVersion, Serving, Snapshot, Stage


def observe(store: Store, mlflow: MlflowDoor) -> Snapshot:
    stored = store.list("ModelVersion", "Deployment")
    return Snapshot(
        seen=mlflow.versions(),
        known=tuple(_known(o) for o in stored if o.kind == "ModelVersion"),
        serving=tuple(
            Serving(o.name, o.spec["spec"]["model"], arm["version"])
            for o in stored
            if o.kind == "Deployment"
            for arm in o.status.get("arms", ())
        ),
        aliases=mlflow.aliases(PRODUCTION_ALIAS),
    )


def _known(stored: Object) -> KnownVersion:
    return KnownVersion(
        name=stored.name,
        revision=stored.revision,
        model=stored.spec["model"],
        version=stored.spec["version"],
        stage=Stage(stored.status.get("phase", Stage.REGISTERED.value)),
    )
