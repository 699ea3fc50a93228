"""Versions, looks and stages to build a registry's tests from."""

from __future__ import annotations

from control.registry.lineage import spec_of
from control.registry.state import KnownVersion, Registration, SeenVersion, Stage, version_name

GATE_FAILED = "failed: accuracy 0.81, needed 0.92"


def registration(version: int, model: str = "chat", **tags: str) -> Registration:
    found = {name.replace("_", "-"): value for name, value in tags.items()}
    return Registration(model, version, f"run-{version}", f"s3://{model}/{version}", found, 5000, 5000, "ada")


def seen(version: int, model: str = "chat", gate: str = "") -> SeenVersion:
    tags = {"biplane.gate": gate} if gate else {}
    return SeenVersion(model, version, spec_of(Registration(model, version, "r", "s", tags), None))


def known(version: int, stage: Stage = Stage.REGISTERED, model: str = "chat", gate: str = "") -> KnownVersion:
    status = {} if stage is Stage.REGISTERED else {"phase": stage.value, "reason": "so it was", "deployments": ["web"]}
    spec = seen(version, model, gate).spec
    return KnownVersion(version_name(model, version), 40 + version, model, version, stage, spec, status)
