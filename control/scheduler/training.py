"""How training is placed: the devices of a gang all at once, as close together as they can be had. Pure.

memory enough? ─▶ one device: the node where it hurts least
               └▶ several: the best-connected set of one node ─▶ of one rack ─▶ of the cluster
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from control.scheduler.answer import Answer, Mask, Placed, Refused
from control.scheduler.ask import ask_of
from control.scheduler.gang import split
from control.scheduler.refusal import why_not
from control.scheduler.state import Ask, Span, Workload
from control.scheduler.stock import Stock
from control.scheduler.topology import weakest

Rule = Callable[[Workload, int, Stock, Mask], Placed | None]


def place(workload: Workload, stock: Stock, among: Mask | None = None) -> Answer:
    """As many devices as it wants, or for elastic training the most that fit, down to its least."""
    mask = np.ones(len(stock.board.nodes), dtype=np.bool_) if among is None else among
    for count in range(workload.devices, (workload.least or workload.devices) - 1, -1):
        for rule in RULES[workload.span]:
            if (placed := rule(workload, count, stock, mask)) is not None:
                return placed
    return Refused(partial(why_not, workload, stock))


def on_one_node(workload: Workload, count: int, stock: Stock, among: Mask) -> Placed | None:
    ask = ask_of(workload, count)
    open_to = stock.board.fitting(ask) & among
    if count > 1:
        open_to = _best_joined(ask, stock, open_to)
    node = stock.board.choose(ask, open_to)
    if node is None:
        return None
    name = stock.board.nodes[node].name
    how = f"the {count} best-connected free devices of one node" if count > 1 else "one device"
    return Placed((stock.board.piece(node, ask),), f"{how}: {name} is where it costs the others least")


def on_one_rack(workload: Workload, count: int, stock: Stock, among: Mask) -> Placed | None:
    """The rack that has the fewest free devices beside those that the gang takes (ties by name)."""
    racks: dict[str, list[int]] = {}
    for index, node in enumerate(stock.board.nodes):
        if node.rack and among[index]:
            racks.setdefault(node.rack, []).append(index)
    free = {rack: int(stock.board.idle[members].sum()) for rack, members in racks.items()}
    for rack in sorted((rack for rack in racks if free[rack] >= count), key=lambda rack: (free[rack], rack)):
        mask = np.zeros_like(among)
        mask[racks[rack]] = True
        if (pieces := split(workload, count, stock, mask)) is not None:
            return Placed(pieces, f"no node has {count} devices for it; a gang over {len(pieces)} nodes of rack {rack}")
    return None


def on_cluster(workload: Workload, count: int, stock: Stock, among: Mask) -> Placed | None:
    pieces = split(workload, count, stock, among)
    if pieces is None:
        return None
    return Placed(pieces, f"no node or rack has {count} devices for it; a gang over {len(pieces)} nodes")


RULES: dict[Span, tuple[Rule, ...]] = {
    Span.NODE: (on_one_node,),
    Span.RACK: (on_one_node, on_one_rack),
    Span.CLUSTER: (on_one_node, on_one_rack, on_cluster),
}


def _best_joined(ask: Ask, stock: Stock, open_to: Mask) -> Mask:
    """Of the nodes that are open, those whose best free set is joined as well as any."""
    joined = {
        int(index): weakest(stock.board.nodes[index].links, stock.board.devices_for(int(index), ask))
        for index in np.flatnonzero(open_to)
        if stock.board.nodes[index].links
    }
    if not joined:
        return open_to
    best = max(joined.values())
    mask = np.zeros_like(open_to)
    mask[[index for index, link in joined.items() if link == best]] = True
    return mask
