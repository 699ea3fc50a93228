"""Where a request ends: what is known of it goes into the figures, the access log and the spans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic, time
from typing import Any

from control.route_traffic import Standing
from serve_apps.gateway.access_log import AccessLog
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.call import Call
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.record import Record, Unread, record_of, record_of_unread
from serve_apps.gateway.route_figures import RouteFigures
from serve_apps.gateway.spans import Spans


class Recorder:
    """`standings` tells how the backends of the routes are; `log` and `spans` are None where none are wanted."""

    def __init__(
        self,
        standings: Callable[[], Iterable[Standing]],
        log: AccessLog | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._standings = standings
        self._log = log
        self._spans = spans
        self._figures = RouteFigures()

    def open(self) -> None:
        if self._log:
            self._log.open()

    async def close(self) -> None:
        if self._log:
            await asyncio.to_thread(self._log.close)
        if self._spans:
            await asyncio.to_thread(self._spans.close)

    def begin(self, call: Call) -> None:
        if self._spans:
            self._spans.begin(call)

    def end(self, call: Call, answer: Answer, error: BaseException | None) -> None:
        """A request ended, by `error` if there is one; `answer` is what the client has of it. It takes microseconds,
        and cannot fail.
        """
        record = record_of(call, answer, error, monotonic(), time())
        self._keep(record)
        if self._spans:
            self._spans.end(call, record)

    def unread(self, request: Unread, answer: Answer, error: BaseException) -> None:
        """A request ended by `error` before it was known what it asks for: it has no span."""
        self._keep(record_of_unread(request, answer, error, monotonic(), time()))

    def error(self, error: ApiError) -> None:
        """An error was answered, whatever became known of the request before."""
        self._figures.error(error.code)

    def _keep(self, record: Record) -> None:
        self._figures.count(record)
        if self._log:
            self._log.write(record)

    def body(self) -> dict[str, Any]:
        """What the replica's heartbeat says of its requests."""
        dropped = self._log.dropped if self._log else 0
        return {**self._figures.body(self._standings()), "log_dropped": dropped}
