"""Which version of a model answers. No I/O; the time comes in.

Kept in memory: how far each arm is behind its share, and which applications could not be reached lately. A crash
forgets both: the split begins anew, and a dead application is found again by the first request that goes there.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

from starlette.types import Scope

from serve_apps.gateway.errors import model_not_found, model_unavailable
from serve_apps.gateway.table import Arm, Model, Shadow, Sticky, Table

QUARANTINE_SECONDS = 1.0
"""How long an application that could not be reached is avoided. Then one request tries it for all."""
ROUNDING = 1e-9


@dataclass(slots=True)
class Slot:
    """An arm that takes traffic. `share` is its weight of a sum of 1, `lag` by how many requests it is behind."""

    arm: Arm
    share: float
    seed: int
    lag: float = 0.0


class Split:
    """One model's arms. Arms without weight are not among the `slots`.

    The order is R. Tijdeman's for the chairman assignment problem (Discrete Mathematics 32, 1980): of k arms, every
    one has had its share of the first n requests to within 1 - 1/(2k - 2) of a request, whatever n and the weights;
    of any n requests in a row to within twice that (one request for two arms).
    """

    def __init__(self, name: str, model: Model) -> None:
        self.model = model
        weighted = [arm for arm in model.arms if arm.weight > 0]
        total = sum(arm.weight for arm in weighted)
        self.slots = [Slot(arm, arm.weight / total, _seed(name, arm, weighted)) for arm in weighted]
        self._least = 1 / max(2 * len(weighted) - 2, 1)
        self.mirrored = [0.0] * len(model.shadows)

    def next(self, slots: list[Slot]) -> Slot:
        """Whose turn it is of `slots`, some or all of this split's; the others do not fall behind meanwhile."""
        total = 1.0 if slots is self.slots else sum(slot.share for slot in slots)
        least, best, furthest, soonest = self._least, None, slots[0], math.inf
        for slot in slots:
            lag = slot.lag = slot.lag + slot.share / total
            if lag > furthest.lag:
                furthest = slot
            if lag >= least - ROUNDING and (deadline := (1 - least - lag) / slot.share) < soonest:
                best, soonest = slot, deadline
        chosen = best or furthest  # nobody is due where arms left or returned: then whoever waited most
        chosen.lag -= 1
        return chosen


class Routes:
    """The arms' turns and health, kept from one table to the next where a model's arms did not change."""

    def __init__(self) -> None:
        self._table: Table | None = None
        self._splits: dict[str, Split] = {}
        self._avoided: dict[str, float] = {}  # URL of an application that could not be reached: until when

    def pick(self, table: Table, model: str, key: str | None, now: float) -> Arm:
        """The arm that answers: `key`'s own, or without a key the one whose turn it is. `now` is in seconds.

        Raises ApiError: 404 for an unknown model, 503 where no arm has weight.
        """
        if table is not self._table:
            self._renew(table)
        split = self._splits.get(model)
        if split is None:
            raise model_not_found(model, table.models)
        if not split.slots:
            raise model_unavailable(model, "no version of it takes traffic")
        return self._choose(split, split.slots, key, now)

    def other(self, model: str, key: str | None, now: float, failed: Arm) -> Arm | None:
        """An arm to try after `failed` did not answer; None where the model has no other."""
        split = self._splits.get(model)
        slots = [slot for slot in split.slots if slot.arm.url != failed.url] if split else []
        return self._choose(split, slots, key, now) if split and slots else None

    def alternatives(self, model: str) -> bool:
        """Whether more than one arm of a picked model takes traffic."""
        return len(self._splits[model].slots) > 1

    def unreached(self, arm: Arm, now: float) -> None:
        self._avoided[arm.url] = now + QUARANTINE_SECONDS

    def reached(self, arm: Arm) -> None:
        if self._avoided:
            self._avoided.pop(arm.url, None)

    def mirrors(self, model: str) -> list[Arm]:
        """The shadows of a picked model whose turn it is to get a copy: exactly their share over any window, ± 1."""
        split = self._splits.get(model)
        return _due(split.model.shadows, split.mirrored) if split and split.mirrored else []

    def _choose(self, split: Split, slots: list[Slot], key: str | None, now: float) -> Arm:
        if self._avoided:
            slots = [slot for slot in slots if self._avoided.get(slot.arm.url, now) <= now] or slots
        if len(slots) == 1:
            slot = slots[0]
        elif key is None:
            slot = split.next(slots)
        else:
            slot = owner(slots, key)
        arm = slot.arm
        if self._avoided and arm.url in self._avoided:
            self._avoided[arm.url] = now + QUARANTINE_SECONDS  # half open: this request tries for all
        return arm

    def _renew(self, table: Table) -> None:
        splits = {}
        for name, model in table.models.items():
            split, kept = Split(name, model), self._splits.get(name)
            if kept is not None and kept.model.arms == model.arms:
                split.slots = kept.slots
            if kept is not None and kept.model.shadows == model.shadows:
                split.mirrored = kept.mirrored
            splits[name] = split
        urls = {arm.url for model in table.models.values() for arm in model.arms}
        self._avoided = {url: until for url, until in self._avoided.items() if url in urls}
        self._table, self._splits = table, splits


def sticky_key(sticky: Sticky, user: str, scope: Scope) -> str | None:
    """What a request's arm depends on; None where any arm may answer."""
    if sticky is Sticky.SESSION:
        for name, value in scope["headers"]:
            if name == b"x-session-id":
                return str(value.decode("latin-1"))
    return user if user and sticky is not Sticky.NOBODY else None


def owner(slots: list[Slot], key: str) -> Slot:
    """The arm that `key` belongs to, by weighted rendezvous hashing (Schindelhauer and Schomaker, SPAA 2005).

    Each arm owns its share of all keys, the same on every replica. A key goes from one arm to another only where the
    other's weight grew in proportion to the one's.
    """
    drawn = int.from_bytes(blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest(), "big")
    best, nearest = slots[0], math.inf
    for slot in slots:
        distance = -math.log((_mixed(drawn ^ slot.seed) + 0.5) / (1 << 52)) / slot.share  # exponential, rate `share`
        if distance < nearest:
            best, nearest = slot, distance
    return best


def _mixed(bits: int) -> int:
    """52 bits of which each depends on all 64 of `bits` (the finalizer of A. Appleby's MurmurHash3)."""
    bits = (bits ^ bits >> 33) * 0xFF51AFD7ED558CCD & 0xFFFFFFFFFFFFFFFF
    bits = (bits ^ bits >> 33) * 0xC4CEB9FE1A85EC53 & 0xFFFFFFFFFFFFFFFF
    return (bits ^ bits >> 33) >> 12


def _seed(model: str, arm: Arm, arms: list[Arm]) -> int:
    """What makes the arm's draws its own. An arm keeps its keys under another application, version or URL for as long
    as its name, or without one its version, tells it from the model's others.
    """
    label = arm.name or arm.version
    if sum(label == (one.name or one.version) for one in arms) > 1:
        label = f"{label}@{arm.url}"
    return int.from_bytes(blake2b(f"{model}\0{label}".encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def _due(shadows: tuple[Shadow, ...], mirrored: list[float]) -> list[Arm]:
    due = []
    for index, shadow in enumerate(shadows):
        mirrored[index] += min(shadow.share, 1.0)
        if mirrored[index] >= 1 - ROUNDING:
            mirrored[index] -= 1
            due.append(shadow.arm)
    return due
