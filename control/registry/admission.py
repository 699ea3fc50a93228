"""What `apply` refuses of a deployment because of the version that it names. Pure on objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from control.kernel.store import Object
from control.registry.guard import refusals
from control.registry.nature import Nature
from control.registry.state import Stage
from control.registry.view import OVERRIDE, RETIREMENT, deployable, known_version, rulings
from control.specs.problem import Fault, Loc


def version_faults(
    model: str,
    version: int | None,
    path: Loc,
    stored: Iterable[Object],
    role: Stage = Stage.PRODUCTION,
    *,
    adapter: bool = False,
) -> Iterator[Fault]:
    """Why `version` of `model` (None: the latest) may not take `role`, at the place of the file that names it.

    A version that is not registered yet is no fault: the deployment waits for it. Of the latest it is one when none
    of those registered may be deployed. `stored`: the ModelVersion, Retirement and GateOverride objects. With
    `adapter` it is wanted as an adapter, else as a model.
    """
    stored = tuple(stored)
    retired, overridden = rulings(stored, RETIREMENT), rulings(stored, OVERRIDE)
    versions = [known_version(o) for o in stored if o.kind == "ModelVersion" and o.spec["model"] == model]
    refused = {
        one.version: refusals(one.name, one.gate, retired.get(one.name), overridden.get(one.name)).get(role, "")
        for one in versions
    }
    asked = {number: why for number, why in refused.items() if version in (None, number)}
    if asked and all(asked.values()):
        able = [number for number, why in refused.items() if not why]
        expected = f"version {max(able)}, or another that may be deployed" if able else "a version that may be deployed"
        yield Fault(path, asked[max(asked)], expected)
    elif (found := deployable(model, version, stored)) is not None:
        nature = Nature.read(found.spec.get("tags", {}))
        if nature.adapter and not adapter:
            base = f" of {nature.base}" if nature.base else ""
            expected = f"its base as the model, with adapters: [{{name: {model}, model: {model}}}]"
            yield Fault(path, f"{found.name} is a LoRA adapter{base}, not a model by itself", expected)
        elif adapter and not nature.adapter:
            yield Fault(path, f"{found.name} is a whole model", "a LoRA adapter, or a deployment of its own for it")
