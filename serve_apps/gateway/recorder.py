"""Where a request ends: what is known of it goes into the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic, time
from typing import Any

from control.route_traffic import Standing
from serve_apps.gateway.call import Call
from serve_apps.gateway.record import record_of
from serve_apps.gateway.route_figures import RouteFigures


class Recorder:
    """`standings` tells how the backends of the routes are."""

    def __init__(self, standings: Callable[[], Iterable[Standing]]) -> None:
        self._standings = standings
        self._figures = RouteFigures()

    def end(self, call: Call, error: BaseException | None) -> None:
        """A request ended, by `error` if there is one. It takes microseconds, and cannot fail."""
        record = record_of(call, error, monotonic(), time())
        self._figures.count(record)

    def body(self) -> dict[str, Any]:
        """What the replica's heartbeat says of its requests."""
        return self._figures.body(self._standings())
