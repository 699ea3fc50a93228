"""How batch work is placed: on one node where it costs the others least; until there is room it queues. Pure."""

from __future__ import annotations

from functools import partial

from control.scheduler.answer import Answer, Mask, Placed, Refused
from control.scheduler.ask import ask_of
from control.scheduler.refusal import why_not
from control.scheduler.slicing import on_slices
from control.scheduler.state import Workload
from control.scheduler.stock import Stock


def place(workload: Workload, stock: Stock, among: Mask | None = None) -> Answer:
    if workload.slice:
        placed = on_slices(workload, workload.slice, stock, among)
        return placed or Refused(partial(why_not, workload, stock), slice=workload.slice)
    ask = ask_of(workload, workload.devices)
    node = stock.board.choose(ask, among)
    if node is None:
        return Refused(partial(why_not, workload, stock))
    name = stock.board.nodes[node].name
    return Placed((stock.board.piece(node, ask),), f"{name} is where it costs the others least")
