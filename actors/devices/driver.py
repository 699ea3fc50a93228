"""What a node's agent needs of whoever knows the devices."""

from __future__ import annotations

from typing import Protocol

from control.specs.inventory import CutOrder, NodeReport


class CutError(Exception):
    """A device could not be cut as ordered; the message says what the driver answered."""


class DeviceDriver(Protocol):
    """The devices of one node. Both calls may take long, or never end: the agent makes them in a thread."""

    def report(self) -> NodeReport:
        """What there is now. Never raises: what is wrong is a device's `trouble` or the report's `error`."""
        ...

    def cut(self, order: CutOrder) -> None:
        """Make the device look as ordered; what is already there or already gone is left alone. Raises CutError."""
        ...
