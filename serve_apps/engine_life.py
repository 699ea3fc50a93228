"""A replica's engine from its first answer to its end: what it reports, who watches it, how it goes.

Only reports are stored, and only from a thread: a store that is away costs reports, never a request. An engine that
died or hangs takes the whole process with it, so that connections break at once, the kernel frees the devices, and
Serve starts another replica. A crash at any line leaves a last report that grows old.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import psutil

from control.engine_report import BEAT_SECONDS, EngineReport
from serve_apps.engine_figures import Figures
from serve_apps.engine_watch import CPU_PATIENCE_SECONDS, LOOK_SECONDS, PATIENCE_SECONDS, Sight, Verdict, Watch

FAREWELL_SECONDS = 0.3
"""What running streams and the last report have to say that the engine is gone."""
COMPUTING = 0.1
"""Of a CPU, what the processes of an engine use that is at work and not hung; a stopped one uses none."""

logger = logging.getLogger("ray.serve")


class Living(Protocol):
    """An engine that can be watched."""

    figures: Figures

    @property
    def on_cpu(self) -> bool:
        """Whether it computes on the CPU, so that the time its processes use shows whether it does."""

    @property
    def is_dead(self) -> bool:
        """Whether it will never answer again, and knows it."""

    @property
    def requests(self) -> int:
        """How many it has, probes too."""

    @property
    def processes(self) -> Sequence[int]:
        """Process ids of the engine, without this process; their children end with them."""

    async def probe(self) -> None:
        """Make one token. Raises whatever the engine raises."""


class EngineLife:
    """Reports twice a second and looks ten times a second, in tasks of the running event loop.

    `about` has what never changes. Without an `engine` that can be watched reports say only that. `ending` tells
    whether Serve is ending the replica; `write` stores a report and may fail.
    """

    def __init__(
        self,
        about: EngineReport,
        engine: Living | None,
        *,
        ending: Callable[[], bool],
        write: Callable[[EngineReport], None],
    ) -> None:
        self._about, self._engine, self._ending, self._write = about, engine, ending, write
        self._watch = Watch(CPU_PATIENCE_SECONDS if engine is not None and engine.on_cpu else PATIENCE_SECONDS)
        self._cpu_seconds = 0.0
        self._trouble = ""
        self._probe: asyncio.Task[None] | None = None
        # One thread of its own: reports are stored in the order in which they were made.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="engine-report")
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; returns when the first report is stored, or could not be."""
        await self._store()
        self._tasks.append(asyncio.create_task(self._report_on()))
        if self._engine is not None:
            self._tasks.append(asyncio.create_task(self._watch_over(self._engine)))

    def report(self) -> EngineReport:
        """What the replica says of itself now."""
        about = replace(self._about, accepts=not self._trouble and not self._ending(), trouble=self._trouble)
        if self._engine is None:
            return about
        return self._engine.figures.report(about, max(0, self._engine.requests - self._is_probing))

    async def stop(self) -> None:
        """Watch no more and say the last figures: the engine ends with this process."""
        for task in self._tasks:
            task.cancel()
        await self._store()

    def check_health(self) -> None:
        """Raises RuntimeError where nobody reports or watches any more."""
        for task in self._tasks:
            if task.done() and not self._trouble:
                raise RuntimeError("the engine is not watched any more") from task.exception()

    @property
    def _is_probing(self) -> bool:
        return self._probe is not None and not self._probe.done()

    async def _report_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._store()

    async def _store(self) -> None:
        failed = await asyncio.get_running_loop().run_in_executor(self._writer, self._try_to_write, self.report())
        if failed is not None:
            logger.warning("The engine's report was not stored: %s", failed)

    def _try_to_write(self, report: EngineReport) -> Exception | None:
        try:
            self._write(report)
        except Exception as error:  # whatever the store's driver raises
            return error
        return None

    async def _watch_over(self, engine: Living) -> None:
        """Look until the engine is dead, then end this process. An engine that hangs is killed: then it is dead."""
        before = time.monotonic()
        while not engine.is_dead:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            self._watch = self._watch.after(self._sight(engine, now - before), now - before)
            before = now
            if self._watch.verdict is Verdict.PROBE:
                self._probe = asyncio.create_task(_ask(engine))
                self._watch = self._watch.asked()
            elif self._watch.verdict is Verdict.WEDGED:
                self._trouble = self._watch.trouble
                for process in engine.processes:  # vLLM then tells its requests that the engine is dead
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                break
        self._trouble = self._trouble or "the engine died"
        logger.error("This replica ends: %s", self._trouble)
        self._tasks.append(asyncio.create_task(self._store()))
        await asyncio.sleep(FAREWELL_SECONDS)
        os._exit(1)

    def _sight(self, engine: Living, passed_s: float) -> Sight:
        figures, requests, computing = engine.figures, engine.requests, False
        if engine.on_cpu and requests and figures.steps == self._watch.last.steps:
            used = _cpu_seconds(engine.processes)
            computing = used - self._cpu_seconds >= COMPUTING * passed_s
            self._cpu_seconds = used
        return Sight(figures.steps, figures.produced, requests, self._is_probing, computing)


async def _ask(engine: Living) -> None:
    """What comes of it is seen in the figures, and an engine's death is seen anyhow."""
    with suppress(Exception):
        await engine.probe()


def _cpu_seconds(processes: Sequence[int]) -> float:
    """Computing time of the processes so far."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = psutil.Process(process).cpu_times()
            seconds += times.user + times.system
    return seconds
