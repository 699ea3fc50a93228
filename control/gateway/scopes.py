"""What an API key can be confined to: the routes and the models that there are. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from control.gateway.state import Model
from control.specs.api_key import Grant, matches
from control.specs.gateway import Gateway
from control.specs.problem import nearest, one_of


@dataclass(frozen=True)
class Scopes:
    """The names of routes, and those under which clients may ask for models."""

    routes: frozenset[str]
    models: frozenset[str]

    @staticmethod
    def of(models: Mapping[str, Model], gateways: Iterable[Gateway], collections: Iterable[str] = ()) -> Scopes:
        """A route that takes any model has no list of them: those of its backends are the names worth asking for. A
        collection goes by its name as a model of `vectors/`.
        """
        routes = [route for gateway in gateways for route in gateway.routes]
        served = [name for deployed, model in models.items() for name in (deployed, *model.adapters)]
        taken = [route.match.model for route in routes if route.match.model]
        behind = [backend.model for route in routes for backend in route.backends]
        stored = [f"vectors/{name}" for name in collections]
        return Scopes(frozenset(route.name for route in routes), frozenset([*served, *taken, *behind, *stored]))


def unknown_scopes(grant: Grant, known: Scopes) -> list[str]:
    """What a key would be confined to and is not there, each in words."""
    wrong = [_unknown("route", name, known.routes) for name in grant.routes if name not in known.routes]
    return wrong + [_unknown("model", one, known.models) for one in grant.models if not matches(one, known.models)]


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    close = nearest(name, known)
    hint = f"did you mean '{close}'?" if close else f"expected {one_of(sorted(known), f'no {what}: there is none')}"
    return f"there is no {what} '{name}'; {hint}"
