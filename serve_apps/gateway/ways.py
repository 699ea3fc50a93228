"""The routes' backends as this process sees them. No I/O.

Kept in memory: how each backend is, and whose turn it is, from one table to the next. A crash forgets both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from control.route_traffic import Standing
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.choice import Chooser
from serve_apps.gateway.table import BackendPlace, BackendSpec, Route


@dataclass(frozen=True, slots=True)
class Way:
    """A route's backends: whose turn it is, and what the route says of each."""

    chooser: Chooser
    specs: dict[Backend, BackendSpec]


class Ways:
    """`backends` are those of all routes."""

    def __init__(self) -> None:
        self.backends: dict[BackendPlace, Backend] = {}
        self._routes: Mapping[tuple[str, str | None], Route] = {}
        self._ways: dict[tuple[str, str | None], Way] = {}

    def route(self, path: str, model: str) -> Route | None:
        """Whose backends answer a request for a model that is not served here."""
        return self._routes.get((path, model)) or self._routes.get((path, None))

    def of(self, route: Route) -> Way:
        """Also of a route that was taken away since its request came."""
        return self._ways.get((route.path, route.model)) or self._way(route, {})

    def learn(self, routes: Mapping[tuple[str, str | None], Route]) -> bool:
        """Whether they are others than before; what is known of backends that they still name stays."""
        if routes == self._routes:
            return False
        backends: dict[BackendPlace, Backend] = {}
        ways = {}
        for key, route in routes.items():
            ways[key] = self._way(route, backends)
            if (before := self._ways.get(key)) is not None:
                ways[key].chooser.go_on(before.chooser)
        self.backends, self._ways, self._routes = backends, ways, routes
        return True

    def elsewhere(self) -> dict[Backend, BackendSpec]:
        """The backends that are asked over the network, each as one of its routes has it."""
        found = [(backend, way.specs[backend]) for way in self._ways.values() for backend in way.chooser.backends]
        return {backend: spec for backend, spec in found if spec.url}

    def standings(self) -> Iterator[Standing]:
        """How each backend of each route is now."""
        now = monotonic()
        for key, way in self._ways.items():
            for backend, reason in way.chooser.left(now):
                yield Standing(self._routes[key].name, backend.name, backend.health.state.name.lower(), reason)

    def _way(self, route: Route, backends: dict[BackendPlace, Backend]) -> Way:
        """The route's backends are in `backends` then."""
        taking = []
        for spec in route.backends:
            # Weight, price and limits are the route's business, not the backend's: it is one whatever they are.
            place = spec.place
            backend = backends.get(place) or self.backends.get(place) or Backend(spec.name, spec.provider, spec.model)
            backends[place] = backend
            taking.append((backend, spec.weight))
        specs = {backend: spec for (backend, _), spec in zip(taking, route.backends, strict=True)}
        return Way(Chooser(taking, route.chain, route.triggers), specs)
