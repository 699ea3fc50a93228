"""The scheduler's answer, as those who asked read it from the store. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Placement:
    """What the scheduler says of a workload: a place on a live node, or only the reason of the wait."""

    reason: str
    node_id: str = ""
    resource: str = ""
    devices: tuple[str, ...] = ()

    @property
    def granted(self) -> bool:
        return bool(self.node_id)


def placement_of(status: Mapping[str, Any], live_nodes: Iterable[str]) -> Placement:
    """The placement that a workload's `status` holds.

    A lease on a node that Ray no longer reports by that id is not granted: after Ray was restarted it points at the
    node's former life until the scheduler's next pass.
    """
    reason = status.get("reason") or "the scheduler has not answered yet"
    lease = status.get("lease")
    if lease is None or lease["node_id"] not in live_nodes:
        return Placement(reason)
    return Placement(reason, lease["node_id"], lease["resource"], tuple(lease["devices"]))
