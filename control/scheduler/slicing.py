"""Giving out MIG instances that exist. Pure."""

from __future__ import annotations

from control.scheduler.answer import Mask, Placed
from control.scheduler.state import Piece, Workload
from control.scheduler.stock import Stock


def on_slices(workload: Workload, profile: str, count: int, stock: Stock, among: Mask | None = None) -> Placed | None:
    """`count` instances of the profile, those on the fullest devices first; None when there are not so many."""
    memory, cpu = -(-workload.memory // count), -(-workload.cpu // count)
    trial = stock.copy() if count > 1 else stock
    pieces: list[Piece] = []
    for instance in stock.free_instances(profile):
        index = stock.board.index(instance.node)
        if index is None or (among is not None and not among[index]):
            continue
        node = stock.board.nodes[index]
        piece = Piece(
            node=node.name,
            node_id=node.node_id,
            resource=node.resource,
            devices=(instance.slice.uuid,),
            memory=memory,
            cpu=cpu,
            milli=instance.milli,
            profile=profile,
        )
        if not trial.holds((piece,)):
            continue
        pieces.append(piece)
        if len(pieces) == count:
            where = ", ".join(dict.fromkeys(piece.node for piece in pieces))
            return Placed(tuple(pieces), f"a {profile} slice is enough: {count} on {where}, on the fullest device")
        trial.take((piece,))
    return None
