"""How busy the devices are, as heartbeats in the plane's store: one for each node whose driver measures its devices.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from control.specs.inventory import DeviceLoad

BEAT_PREFIX = "devices:"
"""What the actor of such a heartbeat begins with; Ray's id of the node follows."""


def document(loads: Iterable[DeviceLoad]) -> dict[str, Any]:
    """The body of the heartbeat, as JSON: what `parse` reads."""
    return {"loads": [asdict(load) for load in loads]}


def parse(body: Mapping[str, Any]) -> tuple[DeviceLoad, ...]:
    """The loads in a heartbeat. Raises ValueError where it has none."""
    try:
        return tuple(
            DeviceLoad(str(told["uuid"]), told["utilisation"], told["memory_used"], told["memory"])
            for told in body["loads"]
        )
    except (KeyError, TypeError) as error:
        reason = f"expected loads of devices; found {type(error).__name__}: {error}"
        raise ValueError(f"this is no node's load: {reason}") from None
