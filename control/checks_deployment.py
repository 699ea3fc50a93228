"""What must hold, and what is to be known, before a deployment is applied: beyond its own form and its devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from control.checks_adapters import adapter_faults, adapter_notes
from control.checks_memory import memory_faults, memory_notes
from control.installed_engine import installed_arguments
from control.kernel.store import Object
from control.registry.admission import version_faults
from control.registry.nature import Nature
from control.registry.view import deployable
from control.rolling import Rolling
from control.scheduler.state import Node
from control.specs.deployment import Deployment, DeploymentSpec
from control.specs.engine import engine_faults, without_effect_on_cpu
from control.specs.problem import Fault, Loc
from control.specs.workload import IN_PLACE

_VERSION: Loc = ("spec", "version")


def deployment_faults(
    spec: Deployment, others: Iterable[Deployment], stored: Sequence[Object], *, started: bool, force: bool
) -> Iterator[Fault]:
    """`stored`: versions, what people decided about them, and deployments. `force` lets a change take the place of
    a roll-out that goes on."""
    for at, number in _versions(spec.spec):
        yield from version_faults(spec.spec.model, number, at, stored)
    yield from engine_faults(spec.spec.engine, installed_arguments(), ("spec", "engine"))
    yield from adapter_faults(spec, others, stored, started=started)
    if not force:
        yield from _second_rollout(spec, stored)


def room_faults(spec: Deployment, stored: Sequence[Object], nodes: Sequence[Node]) -> Iterator[Fault]:
    """What could never be loaded on the devices that there are; the first version that cannot speaks for all."""
    for _, number in _versions(spec.spec):
        faults = list(memory_faults(spec.spec, deployable(spec.spec.model, number, stored), nodes))
        if faults:
            yield from faults
            return


def deployment_notes(spec: Deployment, stored: Sequence[Object], nodes: Sequence[Node]) -> Iterator[Fault]:
    wanted = spec.spec
    version = deployable(wanted.model, _number(wanted), stored)
    nature = Nature() if version is None else Nature.read(version.spec.get("tags", {}))
    if version is not None and not nature.chat:
        yield Fault(("spec", "model"), f"{version.name} has no chat template: it completes, and refuses to chat")
    if any(node.simulated for node in nodes):
        for name in without_effect_on_cpu(wanted.engine):
            found = f"{name} has no effect on a simulated device: it computes on the CPU"
            yield Fault(("spec", "engine", name), found)
    yield from memory_notes(wanted, version, nodes)
    yield from adapter_notes(spec, stored)


def _versions(spec: DeploymentSpec) -> Iterator[tuple[Loc, int | None]]:
    """The versions that it names, None for the latest, each with its place."""
    yield _VERSION, _number(spec)
    for index, arm in enumerate(spec.rollout.arms):
        yield ("spec", "rollout", "arms", index, "version"), arm.version


def _number(spec: DeploymentSpec) -> int | None:
    return None if spec.version == "latest" else spec.version


def _second_rollout(spec: Deployment, stored: Sequence[Object]) -> Iterator[Fault]:
    """A change of what serves while another is being tried, unless it takes that one back."""
    before = next((o for o in stored if (o.kind, o.name) == ("Deployment", spec.name)), None)
    rolling = None if before is None else Rolling.of(before.status)
    if before is None or rolling is None:
        return
    try:
        was, now = Deployment.model_validate(before.spec).spec, spec.spec
    except ValidationError:
        return  # an older plane wrote it, and whoever writes it anew gets it going again
    found = deployable(now.model, _number(now), stored)
    number = now.version if found is None else found.spec["version"]
    settings = _settings(now)
    same_version = now.version == was.version or number == rolling.target
    back = number == rolling.stable and all(settings[name] == told for name, told in rolling.back.items())
    if not back and not (same_version and settings == _settings(was)):
        expected = (
            f"to wait for its end, to end it with: biplane rollout abort {spec.name}, or --force to let this take its "
            "place"
        )
        yield Fault(("spec",) if same_version else _VERSION, str(rolling), expected)


def _settings(spec: DeploymentSpec) -> Mapping[str, Any]:
    """What applications of one version differ in; `Rolling.back` has some of it by the same names."""
    return {
        "model": spec.model,
        "engine": spec.engine,
        "workload": spec.workload.model_dump(mode="json", exclude_defaults=True, exclude=set(IN_PLACE)),
        "adapters": spec.adapters,
        "arms": spec.rollout.arms,
    }
