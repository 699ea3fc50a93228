"""What the metrics of routes are about: routes, their backends and the organizations that use them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from control.metrics.reading import Reading
from control.metrics.subjects import Labels
from control.route_traffic import Counts, Outcome, Standing, model_of
from control.traffic import Traffic

PAIR = ("route", "backend", "model")
HITS = ("exact", "semantic")


def shares(reading: Reading) -> Iterator[tuple[Labels, Counts]]:
    """By `PAIR`, organization and gateway replica."""
    for gateway_id, gateway in reading.gateways.items():
        for (route, backend, organization), counts in gateway.routes.shares.items():
            yield (route, backend, model_of(backend), organization, gateway_id), counts


def outcomes(reading: Reading) -> Iterator[tuple[Labels, int]]:
    """The requests of each share by how they ended, as far as any ended so."""
    for labels, counts in shares(reading):
        for outcome in Outcome:
            if count := getattr(counts, outcome.value):
                yield (*labels, outcome.value), count


def hits(reading: Reading) -> Iterator[tuple[Labels, int]]:
    """Those of each share that the cache answered, by how it found them."""
    for labels, counts in shares(reading):
        for kind in HITS:
            if count := getattr(counts, kind):
                yield (*labels, kind), count


def pairs(reading: Reading) -> Iterator[tuple[Labels, Traffic]]:
    """By `PAIR` and gateway replica."""
    for gateway_id, gateway in reading.gateways.items():
        for (route, backend), times in gateway.routes.times.items():
            yield (route, backend, model_of(backend), gateway_id), times


def errors(reading: Reading) -> Iterator[tuple[Labels, int]]:
    """By gateway replica and code."""
    for gateway_id, gateway in reading.gateways.items():
        for code, count in gateway.routes.errors.items():
            yield (gateway_id, code), count


def standings(reading: Reading) -> Iterator[tuple[Labels, Standing]]:
    """By `PAIR` and gateway replica."""
    for gateway_id, gateway in reading.gateways.items():
        for one in gateway.routes.standings:
            yield (one.route, one.backend, model_of(one.backend), gateway_id), one


def states(reading: Reading) -> Iterator[tuple[Labels, float]]:
    """The state that each backend's breaker is in."""
    for labels, one in standings(reading):
        yield (*labels, one.state), 1.0
