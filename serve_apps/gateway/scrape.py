"""The page of metrics, at most one a second and one at a time, so that scrapes cannot load the store."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from serve_apps.gateway.errors import metrics_unavailable

log = logging.getLogger("biplane.gateway")

KEPT_SECONDS = 1.0


class Scrape:
    """`render` makes the page. It may block: it runs in a thread."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._rendering: asyncio.Task[bytes | None] | None = None
        self._kept_until = 0.0

    async def page(self) -> bytes:
        """The last page, at most `KEPT_SECONDS` old when it was asked for. Raises ApiError 503 where it failed."""
        if self._rendering is None or (self._rendering.done() and monotonic() >= self._kept_until):
            self._rendering = asyncio.create_task(self._make())
        page = await asyncio.shield(self._rendering)
        if page is None:
            raise metrics_unavailable()
        return page

    async def _make(self) -> bytes | None:
        try:
            return await asyncio.to_thread(self._render)
        except Exception:
            log.warning("the metrics could not be read", exc_info=True)
            return None
        finally:
            self._kept_until = monotonic() + KEPT_SECONDS
