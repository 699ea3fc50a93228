"""Filters of the user's own that a gateway document names: whether they are there and take their options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

from control.specs.filters import OwnFilter
from control.specs.gateway import GatewayFile
from control.specs.problem import Fault, Loc, nearest


def filter_faults(spec: GatewayFile) -> Iterator[Fault]:
    """Of classes whose module can be imported here. They are not made: that is for the gateway to do."""
    for path, one in _own(spec):
        module, _, name = one.type.partition(":")
        try:
            found = importlib.import_module(module)
        except Exception:  # whatever it does when it is imported
            continue
        made = getattr(found, name, None)
        if not inspect.isclass(made):
            names = [known for known, value in vars(found).items() if inspect.isclass(value)]
            yield Fault((*path, "type"), f"{module} has no class {name}", "one of its classes", nearest(name, names))
            continue
        try:
            inspect.signature(made).bind(**one.options)
        except (TypeError, ValueError) as error:
            yield Fault((*path, "options"), f"{one.type} does not take them: {error}", "its arguments by name")


def filter_notes(spec: GatewayFile) -> Iterator[Fault]:
    """A class that cannot be imported here may yet be there where gateways run."""
    for path, one in _own(spec):
        try:
            importlib.import_module(one.type.partition(":")[0])
        except Exception as error:
            why = f"cannot be imported here ({error}): where it cannot be in the gateway, the route answers 503"
            yield Fault((*path, "type"), f"{one.type} {why}")


def _own(spec: GatewayFile) -> Iterator[tuple[Loc, OwnFilter]]:
    for index, route in enumerate(spec.gateway.routes):
        for at, one in enumerate(route.filters):
            if isinstance(one, OwnFilter):
                yield ("gateway", "routes", index, "filters", at), one
