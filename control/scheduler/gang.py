"""How a gang that needs more than one node is split over several. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from control.scheduler.answer import Mask
from control.scheduler.ask import ask_of
from control.scheduler.state import Piece, Workload
from control.scheduler.stock import Stock

Order = npt.NDArray[np.intp]


def split(workload: Workload, count: int, stock: Stock, among: Mask) -> tuple[Piece, ...] | None:
    """`count` devices over the nodes of `among`: as few nodes as possible, evenly where that is possible.

    An even split keeps the ring of an all-reduce balanced. None when the nodes have too little together.
    """
    largest_first = np.argsort(-np.where(among, stock.board.idle, 0), kind="stable")
    together = np.cumsum(stock.board.idle[largest_first] * among[largest_first])
    fewest = int(np.searchsorted(together, count)) + 1
    for parts in range(max(2, fewest), min(count, len(together)) + 1):
        if count % parts == 0 and (pieces := _even(workload, count // parts, parts, stock, among)) is not None:
            return pieces
        if (pieces := _uneven(workload, count, parts, stock, largest_first[among[largest_first]])) is not None:
            return pieces
    return None


def _even(workload: Workload, each: int, parts: int, stock: Stock, among: Mask) -> tuple[Piece, ...] | None:
    ask = ask_of(workload, each)
    open_to = stock.board.fitting(ask) & among
    if int(open_to.sum()) < parts:
        return None
    pieces = []
    for _ in range(parts):
        node = stock.board.choose(ask, open_to)
        if node is None:
            return None
        pieces.append(stock.board.piece(node, ask))
        open_to[node] = False
    return tuple(pieces)


def _uneven(workload: Workload, count: int, parts: int, stock: Stock, order: Order) -> tuple[Piece, ...] | None:
    """The largest free nodes first; each gives what it can, down to what is still needed."""
    pieces: list[Piece] = []
    left = count
    for node in order:
        if not left or len(pieces) == parts:
            break
        for devices in range(min(left, int(stock.board.idle[node])), 0, -1):
            ask = ask_of(workload, devices)
            if not stock.board.refusal(int(node), ask):
                pieces.append(stock.board.piece(int(node), ask))
                left -= devices
                break
    return tuple(pieces) if not left else None
