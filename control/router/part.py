"""How a lease is split into applications: one for each node. Pure.

Serve places the replicas of one application wherever its selector allows, so an application over several nodes could
have more replicas on one of them than its lease has devices there. An application on one node cannot.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from control.kernel.ids import digest
from control.kernel.placement import Placement
from control.specs.step import GrantPiece


@dataclass(frozen=True)
class Part:
    """What a lease gives on one node: equal pieces, one for each replica."""

    pieces: tuple[GrantPiece, ...]

    @property
    def lease(self) -> str:
        """The same for the same devices of the same node, in any order, and for nothing else."""
        return digest([asdict(piece) for piece in sorted(self.pieces, key=lambda piece: piece.devices)])


def parts_of(placement: Placement) -> tuple[Part, ...]:
    """In the order of the lease. Pieces of one node that are not alike make parts of their own: a whole device and
    a slice are different resources to Ray."""
    alike: dict[tuple[str, str, int, int], list[GrantPiece]] = {}
    for piece in placement.pieces:
        kind = (piece.node_id, piece.resource, piece.milli, len(piece.devices))
        alike.setdefault(kind, []).append(piece)
    return tuple(Part(tuple(pieces)) for pieces in alike.values())
