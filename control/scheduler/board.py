"""What is free of every node, and where one more piece would go. Mutable, closed, and cheap to copy.

The one place that adds and subtracts devices, shares, device memory, host memory and CPU. Devices in MIG mode are not
on the board: `mig.py` gives out their slices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from control.scheduler.demand import NOTHING_KNOWN
from control.scheduler.demand import Demand as Demand
from control.scheduler.fragmentation import Floats, Fragmentation, Standing, least
from control.scheduler.state import WHOLE, Ask, Node, Piece
from control.scheduler.topology import best_set

GIB = 1 << 30
UNKNOWN = 1 << 60
"""Stands for a capacity that nobody told: more than is ever asked for."""

Mask: TypeAlias = npt.NDArray[np.bool_]
Amounts: TypeAlias = npt.NDArray[np.int64]


class Board:
    """What is free of every node; see the module. Index order of nodes is the order of their names.

    `left` (N, G) is what is free of each device in thousandths, `room` (N, G) its free memory in bytes, `holders`
    (N, G) how many share it; `cpu` and `memory` (N,) are what is free of the host. Devices that take nothing new (in
    trouble, on a cordoned node) are counted there too, but not in `open` (N, G), which is `left` of the others, nor
    in `idle` (N,), the number of wholly free devices that may be given out.
    """

    def __init__(self, nodes: tuple[Node, ...], demand: Demand, max_holders: int) -> None:
        self.nodes = nodes
        self.demand = demand
        self.max_holders = max_holders
        self._index = {node.name: index for index, node in enumerate(nodes)}
        self._column = [{d.uuid: g for g, d in enumerate(node.devices) if not d.mig} for node in nodes]
        shape = (len(nodes), max((len(node.devices) for node in nodes), default=0))
        self.left: Amounts = np.zeros(shape, dtype=np.int64)
        self.room: Amounts = np.zeros(shape, dtype=np.int64)
        self.holders: Amounts = np.zeros(shape, dtype=np.int64)
        self.offered: Mask = np.zeros(shape, dtype=np.bool_)
        for n, node in enumerate(nodes):
            for g, device in enumerate(node.devices):
                self.left[n, g] = 0 if device.mig else WHOLE
                self.room[n, g] = device.memory or UNKNOWN
                self.offered[n, g] = not (device.mig or device.trouble or device.cordon or node.cordon)
        self.open: Amounts = self.left * self.offered
        self.idle: Amounts = (self.open == WHOLE).sum(axis=1)
        self.cpu: Amounts = np.array([node.cpu or UNKNOWN for node in nodes], dtype=np.int64)
        self.memory: Amounts = np.array([node.memory for node in nodes], dtype=np.int64)
        self.closed: Mask = np.array([bool(node.cordon) for node in nodes], dtype=np.bool_)
        self.most_memory: Amounts = np.where(self.offered, self.room, 0)
        self._models: dict[frozenset[str], Mask] = {}
        self._partly: dict[Piece, list[Piece]] = {}
        self._standing: Standing | None = None
        self._lent = False
        self._stale: set[int] = set()

    @classmethod
    def of(cls, nodes: Iterable[Node], demand: Demand | None = None, max_holders: int = UNKNOWN) -> Board:
        """The board of empty nodes. At most `max_holders` share one device. Raises ValueError for two of one name."""
        ordered = tuple(sorted(nodes, key=lambda node: node.name))
        for one, other in pairwise(ordered):
            if one.name == other.name:
                raise ValueError(f"two nodes are called {one.name}; expected every name once")
        return cls(ordered, demand or NOTHING_KNOWN, max_holders)

    def copy(self) -> Board:
        """Another board in the same state: neither sees what is done to the other."""
        twin = object.__new__(Board)
        twin.__dict__.update(self.__dict__)
        for name in ("left", "room", "holders", "offered", "open", "idle", "cpu", "memory"):
            setattr(twin, name, getattr(self, name).copy())
        twin._partly = {piece: list(parts) for piece, parts in self._partly.items()}
        self._lent = twin._lent = True
        twin._stale = set(self._stale)
        return twin

    def index(self, node_name: str) -> int | None:
        """Where the node is on the board; None when it is not."""
        return self._index.get(node_name)

    def holds(self, piece: Piece) -> bool:
        """Whether `take` would succeed: the node is known and has the devices, and all that is asked of them is free.

        A device in trouble and a cordoned node keep what they hold.
        """
        n = self.index(piece.node)
        if n is None or piece.cpu > self.cpu[n] or piece.memory > self.memory[n]:
            return False
        return all(self._spare(n, uuid, piece) for uuid in piece.devices)

    def is_open(self, piece: Piece) -> bool:
        """Whether new work may come to the piece's node and to each of its devices, be they free or not."""
        n = self.index(piece.node)
        if n is None or self.closed[n]:
            return False
        columns = [self._column[n].get(uuid) for uuid in piece.devices]
        return all(g is not None and self.offered[n, g] for g in columns)

    def _spare(self, n: int, uuid: str, piece: Piece) -> bool:
        g = self._column[n].get(uuid)
        if g is None or piece.milli > self.left[n, g] or piece.device_memory > self.room[n, g]:
            return False
        return bool(piece.milli == WHOLE or self.holders[n, g] < self.max_holders)

    def take(self, piece: Piece) -> None:
        """Subtract a piece. Raises ValueError when something of it is not free: nothing is then taken."""
        if not self.holds(piece):
            raise ValueError(f"{piece} is not free on {piece.node}")
        self._add(piece, -1)

    def withhold(self, piece: Piece) -> None:
        """Subtract what is free of a piece (its node may be gone or smaller now); `give` adds just that again."""
        n = self.index(piece.node)
        if self.holds(piece):
            return self._add(piece, -1)
        part = replace(piece, devices=(), cpu=0, memory=0)
        if n is not None:
            devices = tuple(uuid for uuid in piece.devices if self._spare(n, uuid, piece))
            cpu, memory = min(piece.cpu, int(self.cpu[n])), min(piece.memory, int(self.memory[n]))
            part = replace(piece, devices=devices, cpu=cpu, memory=memory)
            self._add(part, -1)
        self._partly.setdefault(piece, []).append(part)
        return None

    def give(self, piece: Piece) -> None:
        """Add a piece again that was taken or withheld."""
        parts = self._partly.get(piece)
        if parts is None:
            return self._add(piece, 1)
        part = parts.pop()
        if not parts:
            del self._partly[piece]
        if self.index(part.node) is not None:
            self._add(part, 1)
        return None

    def withhold_foreign(self) -> None:
        """Close as many wholly free devices of each node as Ray gave to others, those with the highest indexes."""
        for n, node in enumerate(self.nodes):
            if node.foreign:
                free = np.flatnonzero(self.open[n] == WHOLE)
                self.offered[n, free[max(0, len(free) - node.foreign) :]] = False
                self._refresh(n)

    def _add(self, piece: Piece, sign: int) -> None:
        n = self._index[piece.node]
        for uuid in piece.devices:
            g = self._column[n][uuid]
            self.left[n, g] += sign * piece.milli
            self.room[n, g] += sign * piece.device_memory
            self.holders[n, g] -= sign
        self.cpu[n] += sign * piece.cpu
        self.memory[n] += sign * piece.memory
        self._refresh(n)

    def _refresh(self, n: int) -> None:
        self.open[n] = self.left[n] * self.offered[n]
        self.idle[n] = np.count_nonzero(self.open[n] == WHOLE)
        self._stale.add(n)

    def fitting(self, ask: Ask) -> Mask:
        """(N,) which nodes could take one piece now."""
        fits = (self.cpu >= ask.cpu) & (self.memory >= ask.memory) & self._of_model(ask) & ~self.closed
        if not ask.devices:
            return fits
        if ask.milli == WHOLE and not ask.device_memory:
            return fits & (self.idle >= ask.devices)
        room: Mask = self._usable(slice(None), ask).sum(axis=1) >= ask.devices
        return fits & room

    def free_devices(self, node: int, ask: Ask) -> tuple[int, ...]:
        """Indexes of the devices of a node that the ask could use."""
        return tuple(int(g) for g in np.flatnonzero(self._usable(slice(node, node + 1), ask)[0]))

    def _usable(self, rows: slice | Amounts, ask: Ask) -> Mask:
        usable: Mask = (self.open[rows] >= ask.milli) & (self.room[rows] >= ask.device_memory)
        if ask.milli < WHOLE:
            usable &= self.holders[rows] < self.max_holders
        return usable

    def _of_model(self, ask: Ask) -> Mask:
        if ask.models not in self._models:
            allowed = [ask.accepts(node.gpu_model) for node in self.nodes]
            self._models[ask.models] = np.array(allowed, dtype=np.bool_)
        return self._models[ask.models]

    def expect(self, demand: Demand) -> None:
        """Weigh placements by another demand from now on."""
        self.demand = demand
        self._standing = None

    def choose(self, ask: Ask, among: Mask | None = None) -> int | None:
        """The node on which one piece costs the others least (see `fragmentation`); None when none fits.

        Of equals the one with least left on its devices, then the first by name.
        """
        candidates = np.flatnonzero(self.fitting(ask) if among is None else self.fitting(ask) & among)
        if not len(candidates):
            return None
        standing, weights = self._weighed()
        rows = candidates[np.unique(standing.key[candidates], return_index=True)[1]]
        offers = standing.fragmentation.offers
        taken = ask.devices * offers[WHOLE]
        if ask.devices and ask.milli < WHOLE:
            left = np.where(self._usable(rows, ask), self.open[rows], WHOLE).min(axis=1)
            taken = offers[left] - offers[left - ask.milli]
        loss = standing.loss(rows, taken, self.cpu[rows] - ask.cpu, self.memory[rows] - ask.memory, weights)
        equals = np.sort(rows[least(loss)])
        return int(equals[np.argmin(self.open[equals].sum(axis=1))])

    def _weighed(self) -> tuple[Standing, Floats]:
        """What the typical asks could use of the nodes as they are now, and what a loss of it weighs."""
        if self._standing is None:
            models = sorted({node.gpu_model for node in self.nodes})
            model = np.array([models.index(node.gpu_model) for node in self.nodes], dtype=np.int64)
            self._standing, self._lent = Standing(Fragmentation(self.demand, models), model, self.open.shape[1]), False
            self._stale = set(range(len(self.nodes)))
        if self._stale:
            if self._lent:
                self._standing, self._lent = self._standing.copy(), False
            rows = np.array(sorted(self._stale), dtype=np.int64)
            devices = (self.open[rows], self.room[rows], self.holders[rows])
            self._standing.refresh(rows, devices, self.cpu[rows], self.memory[rows])
            self._stale.clear()
        return self._standing, self._standing.fragmentation.weights(self._standing.total, int(self.open.sum()))

    def devices_for(self, node: int, ask: Ask) -> tuple[int, ...]:
        """Which devices of a node that fits: those joined best, or the fullest that can be shared."""
        if not ask.devices:
            return ()
        free = self.free_devices(node, ask)
        if ask.milli < WHOLE:
            return (min(free, key=lambda device: (self.open[node, device], device)),)
        if ask.devices == 1 and not self.nodes[node].links:
            return free[:1]
        numa = tuple(device.numa for device in self.nodes[node].devices)
        return best_set(self.nodes[node].links, free, ask.devices, numa)

    def piece(self, node: int, ask: Ask) -> Piece:
        """The piece that the ask would be given on a node that fits."""
        where = self.nodes[node]
        devices = tuple(where.devices[g].uuid for g in self.devices_for(node, ask))
        return Piece(
            where.name, where.node_id, where.resource, devices, ask.memory, ask.cpu, ask.milli, ask.device_memory
        )

    def refusal(self, node: int, ask: Ask) -> str:
        """Why the ask does not fit a node now, for people: the first rule that fails speaks; empty when it fits."""
        where = self.nodes[node]
        name, model = where.name, where.gpu_model
        large = np.count_nonzero(self.most_memory[node] >= max(1, ask.device_memory))
        wanted = f"{ask.devices} are asked for"
        if where.cordon:
            return f"{name} takes nothing new: {where.cordon}"
        if not ask.accepts(model):
            return f"{name} has {model}, {' or '.join(sorted(ask.models))} is asked for"
        if ask.devices > large:
            each = f" with {ask.device_memory / GIB:.0f} GiB" if ask.device_memory else ""
            return f"{name} has {large} {model}{each}, {wanted}"
        if ask.memory > where.memory:
            return f"{name} has {_gib(where.memory)} of memory, {_gib(ask.memory)} are asked for"
        if ask.cpu > (where.cpu or UNKNOWN):
            return f"{name} has {where.cpu / 1000:g} CPUs, {ask.cpu / 1000:g} are asked for"
        free = len(self.free_devices(node, ask))
        if ask.devices > free and ask.milli < WHOLE:
            return f"{name} has no {model} of which {ask.milli / 10:g} % are free for one more to share"
        if ask.devices > free:
            return f"{name} has {free} of its {large} {model} free, {wanted}"
        if ask.memory > self.memory[node]:
            free_memory = f"{self.memory[node] / GIB:.0f} of its {_gib(where.memory)} of memory"
            return f"{name} has {free_memory} free, {_gib(ask.memory)} are asked for"
        if ask.cpu > self.cpu[node]:
            free_cpu = f"{self.cpu[node] / 1000:g} of its {where.cpu / 1000:g} CPUs"
            return f"{name} has {free_cpu} free, {ask.cpu / 1000:g} are asked for"
        return ""


def _gib(size: int) -> str:
    return f"{size / GIB:.0f} GiB"
