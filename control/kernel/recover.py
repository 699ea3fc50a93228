"""Finds and ends the processes that a plane left behind, and no others.

Every process of a plane carries its id in its environment: `biplane up` sets it and children inherit it, HAProxy and
vLLM's engines too, whatever their title says. Ending them is safe at any moment: goals are in the store.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import psutil

MARK = "BIPLANE_PLANE"
"""The environment variable that carries the plane's id."""
GRACE_SECONDS = 4.0


def processes_of(plane_id: str) -> list[psutil.Process]:
    """The live processes marked with `plane_id`, without this one and those it descends from."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid in mine or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == plane_id:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end(processes: Iterable[psutil.Process]) -> None:
    """Ask the processes to end, then kill what is left after GRACE_SECONDS."""
    alive = list(processes)
    for process in alive:
        _signal(process, kill=False)
    _, stubborn = psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    for process in stubborn:
        _signal(process, kill=True)
    psutil.wait_procs(stubborn, timeout=GRACE_SECONDS)


def end_plane(plane_id: str) -> int:
    """End every process of the plane; how many there were. Looks again until none is left: they may still fork."""
    ended = 0
    while found := processes_of(plane_id):
        ended += len(found)
        end(found)
    return ended


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return
