"""What is wrong with the adapters of a deployment: their names, their versions, and whether they fit its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from control.kernel.store import Object
from control.registry.admission import version_faults
from control.registry.nature import Nature
from control.registry.view import deployable
from control.specs.deployment import Adapter, Deployment
from control.specs.problem import Fault, Loc, nearest

_ADAPTERS: Loc = ("spec", "adapters")


def adapter_faults(
    spec: Deployment, others: Iterable[Deployment], stored: Sequence[Object], *, started: bool
) -> Iterator[Fault]:
    """`others` are the other deployments, as stored or as written beside it. Where nothing is `started` no version is
    known, and none is looked for."""
    others = tuple(others)
    taken = {one.name: f"deployment {one.name}" for one in others}
    taken |= {adapter.name: f"an adapter of deployment {one.name}" for one in others for adapter in one.spec.adapters}
    if spec.name in taken and not taken[spec.name].startswith("deployment"):
        yield Fault(("metadata", "name"), f"{spec.name!r} is {taken[spec.name]} already", "a name of its own")
    if spec.spec.adapters and spec.spec.engine.get("enable_lora") is False:
        yield Fault(
            ("spec", "engine", "enable_lora"), "adapters are served with enable_lora", "true, or no such setting"
        )
    for index, adapter in enumerate(spec.spec.adapters):
        at = (*_ADAPTERS, index)
        whose = "the deployment's own name" if adapter.name == spec.name else taken.get(adapter.name)
        if whose:
            yield Fault((*at, "name"), f"{adapter.name!r} is {whose} already", "a name of its own")
        number = _number(adapter)
        found = deployable(adapter.model, number, stored)
        yield from version_faults(adapter.model, number, (*at, "version"), stored, adapter=True)
        if found is None and started:
            yield _unknown(adapter, stored, at)
        elif found is not None:
            yield from _misfits(spec, found, stored, at)


def adapter_notes(spec: Deployment, stored: Sequence[Object]) -> Iterator[Fault]:
    """Adapters that say they were trained on another model than this deployment's."""
    model = _model(spec, stored)
    of_model = "" if model is None else _nature(model).base
    for index, adapter in enumerate(spec.spec.adapters):
        found = deployable(adapter.model, _number(adapter), stored)
        base = "" if found is None else _nature(found).base
        known = {_tail(name) for name in (spec.spec.model, of_model) if name}
        if found is not None and base and of_model and _tail(base) not in known:
            said = f"{found.name} was made for {base}; the deployment's model {spec.spec.model} comes from {of_model}"
            yield Fault((*_ADAPTERS, index, "model"), said, "an adapter of the same base, where the two are not one")


def _misfits(spec: Deployment, found: Object, stored: Sequence[Object], at: Loc) -> Iterator[Fault]:
    """Sizes by which the engine would refuse it."""
    nature, model = _nature(found), _model(spec, stored)
    most = spec.spec.engine.get("max_lora_rank")
    if isinstance(most, int) and nature.rank > most:
        said = f"{found.name} has rank {nature.rank}, and max_lora_rank is {most}"
        yield Fault((*at, "version"), said, f"max_lora_rank of {nature.rank} or more", also=("spec", "engine"))
    hidden = 0 if model is None else _nature(model).hidden
    if model is not None and hidden and nature.hidden and hidden != nature.hidden:
        of = f" ({nature.base})" if nature.base else ""
        said = f"{found.name} is for layers of {nature.hidden} numbers{of}, those of {model.name} have {hidden}"
        yield Fault((*at, "model"), said, f"an adapter that was trained on {spec.spec.model}")


def _unknown(adapter: Adapter, stored: Sequence[Object], at: Loc) -> Fault:
    models = [o.spec["model"] for o in stored if o.kind == "ModelVersion"]
    if adapter.model not in models:
        known = [o.spec["model"] for o in stored if o.kind == "ModelVersion" and _nature(o).adapter]
        said, expected = f"there is no model {adapter.model!r}", "an adapter that biplane import-model has registered"
        return Fault((*at, "model"), said, expected, nearest(adapter.model, known))
    versions = [str(o.spec["version"]) for o in stored if o.kind == "ModelVersion" and o.spec["model"] == adapter.model]
    said = f"there is no version {adapter.version} of model {adapter.model!r}"
    return Fault((*at, "version"), said, f"one of {', '.join(versions)}")


def _model(spec: Deployment, stored: Sequence[Object]) -> Object | None:
    number = None if spec.spec.version == "latest" else spec.spec.version
    return deployable(spec.spec.model, number, stored)


def _number(adapter: Adapter) -> int | None:
    return None if adapter.version == "latest" else adapter.version


def _nature(version: Object) -> Nature:
    return Nature.read(version.spec.get("tags", {}))


def _tail(name: str) -> str:
    """What a hub id and a directory of the same model have in common."""
    return name.rstrip("/").rpartition("/")[2].lower()
