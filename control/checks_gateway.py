"""What must hold, and what is to be known, before a gateway document is applied: beyond its own form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from control.gateway.price_list import listed, price_of
from control.specs.deployment import Deployment
from control.specs.gateway import Backend, Gateway
from control.specs.problem import Fault, Loc, nearest

_ROUTES: Loc = ("gateway", "routes")


def gateway_faults(gateway: Gateway, others: Iterable[Gateway]) -> Iterator[Fault]:
    """`others`: the gateway documents beside it, stored or applied with it."""
    yield from _unpriced(gateway)
    theirs = [(other.name, route) for other in others for route in other.routes]
    taken = {route.match: (other, route.name) for other, route in theirs}
    named = {route.name: other for other, route in theirs}
    for index, route in enumerate(gateway.routes):
        if route.match in taken:
            other, name = taken[route.match]
            found = f"'{route.match}' is matched by route '{name}' of gateway '{other}'"
            path = (*_ROUTES, index, "match", "model" if route.match.model else "path")
            yield Fault(path, found, "every path and model once over all gateway documents")
        if route.name in named:  # figures are counted and keys confined by it alone
            found = f"gateway '{named[route.name]}' has a route '{route.name}'"
            yield Fault((*_ROUTES, index, "name"), found, "every route's name once over all gateway documents")


def gateway_notes(gateway: Gateway, deployments: Iterable[Deployment]) -> Iterator[Fault]:
    """Routes for a model that is deployed, under its own name or an adapter's."""
    served = {name: one.name for one in deployments for name in (one.name, *(a.name for a in one.spec.adapters))}
    for index, route in enumerate(gateway.routes):
        if (model := route.match.model) in served:
            found = f"'{model}' is answered by deployment '{served[model]}': this route takes nothing while it is there"
            yield Fault((*_ROUTES, index, "match", "model"), found)


def _unpriced(gateway: Gateway) -> Iterator[Fault]:
    """Backends whose requests would have to be counted in money that nobody knows."""
    limits = enumerate(gateway.rate_limits)
    shared: Loc | None = next(
        (("gateway", "rate_limits", i, "cost_per_day") for i, one in limits if one.cost_per_day is not None), None
    )
    for index, route in enumerate(gateway.routes):
        for place, backend in enumerate(route.backends):
            at: Loc = (*_ROUTES, index, "backends", place)
            counted = shared if backend.cost_budget_daily is None else (*at, "cost_budget_daily")
            if counted and price_of(backend.provider, backend.model, gateway.prices) is None:
                found = (
                    f"there is no price of {backend.name}, neither in gateway.prices nor in the list, to count cost by"
                )
                near = _nearest_priced(backend, gateway)
                yield Fault((*at, "model"), found, "an entry in gateway.prices", near, also=counted)


def _nearest_priced(backend: Backend, gateway: Gateway) -> str | None:
    known = [*listed(), *((one.provider, one.model) for one in gateway.prices)]
    return nearest(backend.model, [model for provider, model in known if provider == backend.provider])
