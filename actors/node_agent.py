"""One actor a node: it tells what the node has, who holds it, and cuts devices as it is told. It never decides."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from actors.claims import forget, hold, note_slices
from actors.devices.driver import CutError, DeviceDriver
from control.specs.inventory import CutOrder, NodeReport

T = TypeVar("T")
REPORT_SECONDS = 5.0
CUT_SECONDS = 180.0
"""How long a caller waits. Entering MIG mode resets the device on some models; each instance takes seconds."""
_LEAST_SECONDS = 0.1  # for an answer that was already long in coming

_LONG = {86_400: "a day", 3_600: "an hour", 600: "10 minutes", 60: "a minute"}
"""Rough times: a reason that stays the same from one report to the next is told of once."""

_reports = TypeAdapter(NodeReport)
_orders = TypeAdapter(CutOrder)


class NodeAgent:
    """The Ray actor of a node, pinned to it.

    Stored: nothing; what a driver keeps is the driver's. Observed: the devices, through the driver, and the locks in
    the directory of claims. A crash between any two lines leaves the devices as the driver had got with them. A cut is
    idempotent and its orderer compares reports with what it wants, so it orders again what is missing; the locks
    that a cut takes on what it changes die with this process. Nothing that runs on the devices notices a restart.

    The driver may hang in the kernel. It is called in threads that may be given up, so no caller waits longer than
    `report_seconds` or `cut_seconds`; a thread that hangs is told of in every report until it answers.
    """

    def __init__(
        self,
        driver_path: str,
        args: Mapping[str, Any],
        claims_directory: str,
        report_seconds: float = REPORT_SECONDS,
        cut_seconds: float = CUT_SECONDS,
    ) -> None:
        """`driver_path` is `module:Class` of a DeviceDriver, `args` its keyword arguments."""
        self._driver_path = driver_path
        self._args = dict(args)
        self._claims_directory = Path(claims_directory)
        self._report_seconds = report_seconds
        self._cut_seconds = cut_seconds
        self._looks: _OneAtATime[NodeReport] = _OneAtATime()
        self._cuts: _OneAtATime[None] = _OneAtATime()
        self._making = threading.Lock()
        self._made: DeviceDriver | None = None
        self._last = NodeReport()

    def report(self) -> dict[str, Any]:
        """The node's NodeReport as plain JSON values. Never raises and never hangs."""
        look, _ = self._looks.start(self._look)
        left = self._report_seconds - self._looks.seconds
        if not wait([look], timeout=max(left, _LEAST_SECONDS)).done:
            found = replace(self._last, error=self._silence)
        elif (error := look.exception()) is not None:
            found = replace(self._last, error=f"{self._driver_path}: {type(error).__name__}: {error}")
        else:
            found = self._last = look.result()
        plain: dict[str, Any] = _reports.dump_python(found, mode="json")
        return plain

    def _look(self) -> NodeReport:
        found = self._driver.report()
        slices = {one.uuid: device.uuid for device in found.devices for one in device.slices}
        note_slices(self._claims_directory, slices)
        return found

    def cut(self, order: Mapping[str, Any]) -> None:
        """Carry a CutOrder out. Raises CutError, DeviceInUse, and ValidationError for what is no order.

        One cut at a time: while one is being made, another is refused.
        """
        wanted = _orders.validate_python(dict(order))
        making, mine = self._cuts.start(lambda: self._cut(wanted))
        if not mine:
            raise CutError(f"another cut is being made, for {self._cuts.seconds:.0f} s now; order again later")
        if not wait([making], timeout=self._cut_seconds).done:
            raise CutError(f"{wanted.device}: no answer for {self._cut_seconds:g} s; the cut may still happen")
        making.result()

    def _cut(self, order: CutOrder) -> None:
        """Cut while nobody can claim what goes away: the instances to destroy, or the device that changes its mode."""
        modes = {device.uuid: device.mig for device in self._driver.report().devices}
        going = [one.uuid for one in order.destroy]
        changing = [order.device] if modes.get(order.device) != order.mig else []
        with hold(self._claims_directory, [*going, *changing], "the node's agent, to cut it"):
            self._driver.cut(order)
            forget(self._claims_directory, going)

    @property
    def _silence(self) -> str:
        seconds = self._looks.seconds
        rough = next((words for least, words in _LONG.items() if seconds >= least), f"{self._report_seconds:g} s")
        return f"NVML has not answered for more than {rough}"

    @property
    def _driver(self) -> DeviceDriver:
        """Made at the first call, in its thread: what goes wrong in making it is told like any other error."""
        with self._making:
            if self._made is None:
                module, _, name = self._driver_path.partition(":")
                self._made = getattr(importlib.import_module(module), name)(**self._args)
            return self._made


class _OneAtATime(Generic[T]):
    """Makes one call at a time, in a thread that a call which never ends keeps for itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Future[T] = Future()
        self._running.cancel()
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """How long the last call has been or was under way, seen from now."""
        return time.monotonic() - self._since

    def start(self, work: Callable[[], T]) -> tuple[Future[T], bool]:
        """Start the call, unless one is under way: the call under way, and whether it is this one."""
        with self._lock:
            if not self._running.done():
                return self._running, False
            self._running, self._since = Future(), time.monotonic()
            threading.Thread(target=_fulfil, args=(self._running, work), daemon=True).start()
            return self._running, True


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
