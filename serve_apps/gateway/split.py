"""Whose turn it is of a model's arms, exactly by weight, and whose arm a key belongs to. No I/O."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from serve_apps.gateway.hashing import draw, mixed
from serve_apps.gateway.replicas import Server
from serve_apps.gateway.table import Arm, Model, Replica
from serve_apps.gateway.turns import Turns


@dataclass(slots=True, eq=False)
class Slot:
    """An arm that takes requests. `share` is its weight of a sum of 1, `lag` by how many requests it is behind;
    `seed` tells it from the model's other arms, in the next table too.
    """

    arm: Arm
    share: float
    seed: int
    servers: list[Server]
    lag: float = 0.0
    turn: int = 0


class Split:
    """One model's arms and their `turns`. Arms without weight or replicas are not among the `slots`."""

    def __init__(self, name: str, model: Model, servers: Mapping[Replica, Server]) -> None:
        weighted = [arm for arm in model.arms if arm.weight > 0 and arm.replicas]
        total = sum(arm.weight for arm in weighted)
        self.slots = [
            Slot(arm, arm.weight / total, _seed(name, arm, weighted[:index]), [servers[one] for one in arm.replicas])
            for index, arm in enumerate(weighted)
        ]
        self.servers = len({server for slot in self.slots for server in slot.servers})
        self.turns = Turns(self.slots)
        self.shadows = [
            Slot(shadow.arm, shadow.share, 0, [servers[one] for one in shadow.arm.replicas]) for shadow in model.shadows
        ]

    def go_on(self, before: "Split") -> None:
        """Takes over the turns of the last table's split, where the arms are the same but perhaps for their replicas;
        likewise those of the shadows.
        """
        for mine, theirs in ((self.slots, before.slots), (self.shadows, before.shadows)):
            if [(slot.seed, slot.share) for slot in mine] == [(slot.seed, slot.share) for slot in theirs]:
                for slot, was in zip(mine, theirs, strict=True):
                    slot.lag, slot.turn = was.lag, was.turn


def owner(slots: list[Slot], drawn: int) -> Slot:
    """The arm that a key with the draw `drawn` belongs to, by weighted rendezvous hashing (Schindelhauer and Schomaker,
    SPAA 2005).

    Each arm owns its share of all keys, the same in every process. A key goes from one arm to another only where the
    other's weight grew in proportion to the one's.
    """
    best, nearest = slots[0], math.inf
    for slot in slots:
        distance = -math.log((mixed(drawn ^ slot.seed) + 0.5) / (1 << 52)) / slot.share  # exponential, rate `share`
        if distance < nearest:
            best, nearest = slot, distance
    return best


def _seed(model: str, arm: Arm, before: list[Arm]) -> int:
    """What makes the arm's draws its own. An arm keeps its keys with other replicas or another version for as long as
    its name, or without one its version, tells it from the model's others; those alike go by their order.
    """
    label = arm.name or arm.version
    alike = sum(label == (one.name or one.version) for one in before)
    return draw(f"{model}\0{label}@{alike}" if alike else f"{model}\0{label}")
