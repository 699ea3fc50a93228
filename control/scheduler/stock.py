"""What is free: whole devices and shares (the board), and the MIG instances that exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from control.scheduler.board import UNKNOWN, Board, Demand
from control.scheduler.mig import geometry_of
from control.scheduler.state import WHOLE, Node, Piece, Sharing, Slice


@dataclass(frozen=True)
class Instance:
    """A MIG instance where it is. `milli` is its part of the device's memory slices, in thousandths; `memory` in bytes.

    Of one that is not in the tables nothing is known: it counts as the whole device, and has memory enough.
    """

    node: str
    device: str
    slice: Slice
    milli: int = WHOLE
    memory: int = UNKNOWN
    cordoned: bool = False


@dataclass
class Stock:
    """What is free now. Mutable and cheap to copy: whoever wants to know "what if" asks a copy."""

    board: Board
    instances: Mapping[str, Instance]
    """Every MIG instance on a healthy device, by the driver's uuid."""
    held: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, nodes: Iterable[Node], sharing: Sharing, demand: Demand | None = None) -> Stock:
        nodes = tuple(nodes)
        board = Board.of(nodes, demand, max_holders=max(1, sharing.replicas))
        return cls(board, {i.slice.uuid: i for node in nodes for i in _instances(node)})

    def copy(self) -> Stock:
        return Stock(self.board.copy(), self.instances, set(self.held))

    def take(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self.held.update(self._slices(piece))
            self.board.take(self._rest(piece))

    def give(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self.held.difference_update(self._slices(piece))
            self.board.give(self._rest(piece))

    def withhold(self, pieces: Iterable[Piece]) -> None:
        """Take what is free of the pieces: the rest is somebody else's for now."""
        for piece in pieces:
            self.held.update(self._slices(piece))
            self.board.withhold(self._rest(piece))

    def holds(self, pieces: Iterable[Piece]) -> bool:
        """Whether all of the pieces could be taken together."""
        pieces = tuple(pieces)
        if any(self.held.intersection(self._slices(piece)) for piece in pieces):
            return False
        rests = [self._rest(piece) for piece in pieces]
        if len({piece.node for piece in pieces}) == len(pieces):
            return all(self.board.holds(rest) for rest in rests)
        trial = self.board.copy()
        for rest in rests:
            if not trial.holds(rest):
                return False
            trial.take(rest)
        return True

    def offers(self, pieces: Iterable[Piece]) -> bool:
        """Whether all of the pieces may be given out now: they are free, and nothing keeps new work off them."""
        pieces = tuple(pieces)
        return self.holds(pieces) and all(self._is_open(piece) for piece in pieces)

    def _is_open(self, piece: Piece) -> bool:
        if not piece.profile:
            return self.board.is_open(piece)
        there = [self.instances.get(uuid) for uuid in piece.devices]
        return all(instance is not None and not instance.cordoned for instance in there)

    def free_instances(self, profile: str) -> list[Instance]:
        """The free instances of a profile, those on the fullest device first, then by name and start."""
        free = [i for i in self.instances.values() if i.slice.uuid not in self.held and not i.cordoned]
        idle: dict[str, int] = {}
        for instance in free:
            idle[instance.device] = idle.get(instance.device, 0) + instance.milli
        fitting = [i for i in free if i.slice.profile == profile]
        return sorted(fitting, key=lambda i: (idle[i.device], i.node, i.device, i.slice.start))

    def profiles(self) -> frozenset[str]:
        """The profiles of which at least one instance exists."""
        return frozenset(i.slice.profile for i in self.instances.values())

    def _slices(self, piece: Piece) -> list[str]:
        return list(piece.devices) if piece.profile else []

    def _rest(self, piece: Piece) -> Piece:
        if not piece.profile:
            return piece
        return replace(piece, devices=(), milli=WHOLE, device_memory=0)


def _instances(node: Node) -> Iterable[Instance]:
    for device in node.devices:
        if not device.mig or device.trouble:
            continue
        geometry = geometry_of(node.gpu_model, device.memory)
        for one in device.slices:
            cordoned = bool(node.cordon or device.cordon)
            if geometry is None or one.profile not in geometry.profiles:
                yield Instance(node.name, device.uuid, one, cordoned=cordoned)
            else:
                share, memory = geometry.share(one.profile), geometry.profiles[one.profile].memory
                yield Instance(node.name, device.uuid, one, share, memory, cordoned)
