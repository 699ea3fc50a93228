"""What the registry observes: MLflow's versions and aliases, the stored versions, the deployments that are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from control.kernel.store import Object, Store
from control.registry.decide import PRODUCTION_ALIAS
from control.registry.state import KnownVersion, SeenVersion, Serving, Snapshot, Stage


class Mlflow(Protocol):
    """What the registry sees of MLflow; `MlflowDoor` looks at a server."""

    def versions(self) -> tuple[SeenVersion, ...]: ...

    def aliases(self, alias: str) -> Mapping[str, int]: ...


def observe(store: Store, mlflow: Mlflow) -> Snapshot:
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
