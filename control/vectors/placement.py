"""Where the next replica of a shard goes. Pure.

Replicas of one shard are kept apart, on different nodes and racks, as far as there are some; then nodes are filled
evenly. A replica that has a place keeps it: its data lies there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

GIB = 1 << 30


@dataclass(frozen=True)
class Room:
    """A live node: Ray's id for it now, `memory` bytes in all (0: nobody said) and what of it is `taken`.

    `replicas` counts those of all collections on it. With a `cordon` (the reason) it takes nothing new;
    with `drain` what is there should leave.
    """

    node: str
    node_id: str
    rack: str = ""
    memory: int = 0
    taken: int = 0
    replicas: int = 0
    cordon: str = ""
    drain: bool = False

    def fits(self, memory: int) -> bool:
        return not self.memory or self.taken + memory <= self.memory

    def with_one(self, memory: int) -> Room:
        return replace(self, taken=self.taken + memory, replicas=self.replicas + 1)


@dataclass(frozen=True)
class Choice:
    """A node, or why none will do: `node` is then empty."""

    node: str
    reason: str


def place(rooms: Mapping[str, Room], beside: Sequence[str], wanted: int, memory: int) -> Choice:
    """The node for one more replica of `memory` bytes, of a shard with replicas on the nodes `beside`.

    Two go to one node only where there are fewer nodes than the shard's `wanted` replicas.
    """
    if not rooms:
        return Choice("", "no node has joined yet")
    shared = sum(not room.cordon for room in rooms.values()) < wanted
    racks = [rooms[node].rack for node in beside if node in rooms and rooms[node].rack]
    refusals = {name: why for name, room in rooms.items() if (why := _why_not(room, beside, shared, memory))}
    able = [room for name, room in rooms.items() if name not in refusals]
    if not able:
        return Choice("", "; ".join(refusals[name] for name in sorted(refusals)))
    best = min(
        able,
        key=lambda room: (
            beside.count(room.node),
            racks.count(room.rack),
            room.replicas,
            room.taken - room.memory,
            room.node,
        ),
    )
    return Choice(best.node, _why(best, beside, racks))


def _why_not(room: Room, beside: Sequence[str], shared: bool, memory: int) -> str:
    if room.cordon:
        return f"{room.node} takes nothing new: {room.cordon}"
    if room.node in beside and not shared:
        return f"{room.node} has a replica of this shard already"
    if not room.fits(memory):
        left = max(0, room.memory - room.taken)
        return f"{room.node} has {left / GIB:.1f} GiB of memory left, about {memory / GIB:.1f} GiB are needed"
    return ""


def _why(room: Room, beside: Sequence[str], racks: Sequence[str]) -> str:
    if room.node in beside:
        return f"{room.node}: there are fewer nodes than replicas"
    if racks and room.rack and room.rack not in racks:
        return f"{room.node}: another rack than its other replicas'"
    return f"{room.node}: no other has fewer replicas"
