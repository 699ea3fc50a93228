"""What is free: whole devices and shares (the board), and the MIG instances that exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from control.scheduler.board import Board, Demand
from control.scheduler.mig import Geometry, geometry_of
from control.scheduler.state import WHOLE, Node, Piece, Sharing, Slice


@dataclass(frozen=True)
class Instance:
    """A MIG instance where it is. `milli` is its part of the device's memory slices, in thousandths."""

    node: str
    device: str
    slice: Slice
    milli: int
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
            yield Instance(node.name, device.uuid, one, _milli(geometry, one), bool(node.cordon or device.cordon))


def _milli(geometry: Geometry | None, one: Slice) -> int:
    """The slice's share of its device, rounded down so that the shares of a device never exceed the whole."""
    if geometry is None or one.profile not in geometry.profiles:
        return WHOLE
    return WHOLE * geometry.profiles[one.profile].memory_slices // geometry.memory_slices
