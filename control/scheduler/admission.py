"""How much of what a workload asks for the quotas let it have. Pure."""

from __future__ import annotations

from dataclasses import replace

from control.scheduler.ask import ask_of
from control.scheduler.queue import Quotas
from control.scheduler.slicing import least_milli, sufficient_slices
from control.scheduler.state import Workload


def admitted(quotas: Quotas, workload: Workload) -> tuple[Workload | None, str]:
    """The workload with as many devices as the quotas admit (elastic training: down to its least), or why none.

    Who may be given a slice is admitted for the least that it could be given: what it then gets has to be asked about.
    """
    if sufficient_slices(workload):
        why = quotas.refusal(workload, least_milli(workload))
        return (None, why) if why else (workload, "")
    why = ""
    for devices in range(workload.devices, (workload.least or workload.devices) - 1, -1):
        why = quotas.refusal(workload, devices * workload.milli)
        if not why:
            if devices == workload.devices:
                return workload, ""
            ask = ask_of(workload, devices)
            return replace(workload, devices=devices, cpu=ask.cpu, memory=ask.memory), ""
    return None, why
