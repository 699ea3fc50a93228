"""Cuts that were decided and that nobody has seen done yet: they are stored, each with its node. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from control.specs.inventory import CutOrder

ORDER_SECONDS = 240.0
"""Longer than an agent takes to cut a device and to report it: what is not seen done by then has failed."""


@dataclass(frozen=True)
class Ordered:
    """A cut that stands until it is seen done, or `until` (Unix seconds). Meanwhile its device takes nothing new.

    `serves` are the workloads that wait for it: nothing else is cut for them, and nobody else is stopped.
    """

    order: CutOrder
    reason: str
    serves: tuple[str, ...]
    until: float
