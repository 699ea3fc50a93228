"""The scheduler's answer, as those who asked read it from the store. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from control.specs.step import DeviceGrant, GrantPiece


@dataclass(frozen=True)
class Placement:
    """What the scheduler says of a workload: places on live nodes, or only the reason of the wait.

    With `evicted` (why) the workload has to stop until `deadline` (Unix seconds); it is granted nothing new.
    """

    reason: str
    pieces: tuple[GrantPiece, ...] = ()
    evicted: str = ""
    deadline: float = 0.0

    @property
    def granted(self) -> bool:
        return bool(self.pieces) and not self.evicted

    @property
    def grant(self) -> DeviceGrant:
        return DeviceGrant(self.pieces)


def placement_of(status: Mapping[str, Any], live_nodes: Iterable[str]) -> Placement:
    """The placement that a workload's `status` holds.

    A lease on a node that Ray no longer reports by that id is not granted: after Ray was restarted it points at the
    node's former life until the scheduler's next pass.
    """
    reason = status.get("reason") or "the scheduler has not answered yet"
    lease, eviction = status.get("lease"), status.get("eviction")
    if lease is None or not {piece["node_id"] for piece in lease["pieces"]} <= set(live_nodes):
        return Placement(reason)
    pieces = tuple(
        GrantPiece(piece["resource"], piece["node_id"], tuple(piece["devices"]), piece["milli"], piece["cpu"])
        for piece in lease["pieces"]
    )
    if eviction is not None:
        return Placement(reason, pieces, evicted=reason, deadline=eviction["deadline"])
    return Placement(reason, pieces)
