"""Queues and the workloads of tenants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from control.scheduler.fair_share import Amount
from control.scheduler.queue import Quotas
from control.scheduler.state import WHOLE, Kind, Lease, Phase, Piece, Queue, Workload

CLASSES = {"high": 100, "low": 10}


def asks(
    queue: str, devices: int, name: str = "w", *, cpu: int = 0, priority: str = "low", at: float = 0.0
) -> Workload:
    """A workload that waits. `cpu` in whole cores."""
    return Workload(
        name=name,
        revision=1,
        kind=Kind.TRAINING,
        devices=devices,
        memory=0,
        device_memory=0,
        priority_class=priority,
        created_at=at,
        cpu=cpu * 1000,
        queue=queue,
    )


def holds(queue: str, devices: int, name: str = "h") -> Workload:
    piece = Piece("n0", "id-n0", "sim-gpu", tuple(f"{name}-{index}" for index in range(devices)))
    return replace(asks(queue, devices, name), phase=Phase.LEASED, lease=Lease((piece,)))


def quotas(*queues: Queue, holders: Iterable[Workload] = (), devices: int = 100, cpu: int = 0) -> Quotas:
    """A cluster with so many devices and cores."""
    return Quotas(queues, Amount(devices * WHOLE, cpu * 1000), holders)


def refusal(found: Quotas, workload: Workload) -> str:
    return found.refusal(workload, workload.milli_devices)
