"""A control actor: one domain's loop in a Ray actor of its own.

It owns no state: the store holds the goals and Ray holds the present. Killed at any line, it is restarted by Ray
(`max_restarts=-1`) and goes on from what it observes. Requests of the data plane never come here.
"""

from __future__ import annotations

import os
import threading

from control.kernel.bell import Bell
from control.kernel.clock import system_clock
from control.kernel.drive import RayDrive
from control.kernel.home import Home, Settings
from control.kernel.imports import load
from control.kernel.loop import Loop
from control.kernel.present import Drive
from control.kernel.store import Store


class ControlActor:
    """Hosts the domain that `wire(home, settings, drive) -> (domain, act)` at import path `wiring` makes."""

    def __init__(self, wiring: str) -> None:
        home = Home.find()
        settings = Settings.read(home)
        if settings is None:
            raise RuntimeError(f"no plane was started on {home.path}")
        drive: Drive = RayDrive()
        domain, act = load(wiring)(home, settings, drive)
        loop = Loop(domain, Store(home.store_url), act, system_clock, Bell(home.bells, domain.name))
        self._thread = threading.Thread(target=loop.run, args=(threading.Event(),), daemon=True)
        self._thread.start()

    def pid(self) -> int:
        """The process id, once the loop runs."""
        return os.getpid()
