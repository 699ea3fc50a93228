"""How inference is placed: the smallest part of a device that keeps its latency. Pure.

latency SLA ─▶ does a MIG slice keep it? ─▶ yes: the smallest that does, where one is free
                                         └▶ no: a share of a device if it asks for one, else whole devices
"""

from __future__ import annotations

from functools import partial

from control.scheduler.answer import Answer, Mask, Placed, Refused
from control.scheduler.ask import ask_of
from control.scheduler.refusal import why_not
from control.scheduler.slicing import on_slices, sufficient_slices
from control.scheduler.state import WHOLE, Piece, Workload
from control.scheduler.stock import Stock


def place(workload: Workload, stock: Stock, among: Mask | None = None) -> Answer:
    """Slices, then a share or whole devices, unless it insists on a slice by name."""
    wanted = sufficient_slices(workload)
    for profile in wanted:
        if (placed := on_slices(workload, profile, stock, among)) is not None:
            return placed
    why = f"no slice of {', '.join(wanted)} is free; " if wanted else ""
    placed = None if workload.slice else _on_devices(workload, stock, among, why)
    return placed or Refused(partial(why_not, workload, stock), slice=wanted[0] if wanted else "")


def _on_devices(workload: Workload, stock: Stock, among: Mask | None, why: str) -> Placed | None:
    """Each replica on one node; all of them or none."""
    ask = ask_of(workload, workload.devices // max(1, workload.replicas))
    trial = stock.copy() if workload.replicas > 1 else stock
    pieces: list[Piece] = []
    for _ in range(workload.replicas):
        node = trial.board.choose(ask, among)
        if node is None:
            return None
        piece = trial.board.piece(node, ask)
        pieces.append(piece)
        if workload.replicas > 1:
            trial.take((piece,))
    size = f"{ask.milli / WHOLE:.0%} of a device" if ask.milli < WHOLE else f"{ask.devices} whole device(s)"
    nodes = ", ".join(dict.fromkeys(piece.node for piece in pieces))
    return Placed(tuple(pieces), f"{why}{size} a replica, on {nodes}, where it costs the others least")
