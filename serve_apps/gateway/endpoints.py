"""Where the replicas' own HTTP servers are and how they are, as they say of themselves in the store.

The last good reading is held. A store that is away takes nobody's address and lets nobody seem gone: only what was
looked for and not there counts. A crash leaves nothing behind; a new process reads again.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from control.engine_report import STALE_SECONDS, EngineReport

Reports = Mapping[str, tuple[EngineReport, float]]
"""By application, the last report of its replica and when it was written, on the clock of the replica's node."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is the replica's own address. `ready` is whether it wants requests and is heard of; `lost` whether those
    that it has will hardly be answered. One that drains is neither.
    """

    url: str
    ready: bool
    lost: bool


class Endpoints:
    """`known` has the replicas by their application.

    `read` may block: it runs in a thread. The clocks of nodes differ, so a replica's silence is taken on ours: from
    one reading to the next in which the time of its report has not moved, a failed reading and a late one
    (`period_s` seconds were meant) left out.
    """

    def __init__(self, read: Callable[[], Reports], period_s: float, stale_s: float = STALE_SECONDS) -> None:
        self.known: Mapping[str, Endpoint] = {}
        self._read = read
        self._longest_s = 2 * period_s
        self._stale_s = stale_s
        self._read_at: float | None = None
        self._heard: dict[str, tuple[float, float]] = {}  # when it was written, and for how long nothing newer

    async def refresh(self) -> bool:
        """Reads once, and says whether it could. Never raises: whatever goes wrong, what is known stays."""
        try:
            self._learn(await asyncio.to_thread(self._read), monotonic())
        except Exception:  # the reader is given to us: any failure of it must leave the data path alone
            self._read_at = None
        return self._read_at is not None

    def _learn(self, reports: Reports, now: float) -> None:
        passed = 0.0 if self._read_at is None else min(now - self._read_at, self._longest_s)
        known, heard = {}, {}
        for app, (report, at) in reports.items():
            before, silent_s = self._heard.get(app, (at, 0.0))
            silent_s = silent_s + passed if before == at else 0.0
            stale = silent_s >= self._stale_s
            heard[app] = at, silent_s
            lost = stale or (not report.accepts and report.trouble != "")
            known[app] = Endpoint(report.url.rstrip("/"), report.accepts and not stale, lost)
        self.known, self._heard, self._read_at = known, heard, now
