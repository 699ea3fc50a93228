"""The loop that every domain runs: observe → decide → record → act.

It owns the order of the phases and nothing else. A crash in any phase is harmless: what was recorded is a goal that
the next pass observes as not yet done, and what was done without being recorded is found again by its name.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from control.kernel.bell import Bell
from control.kernel.clock import Clock
from control.kernel.plan import Effect, Note, Plan
from control.kernel.store import Conflict, Store

log = logging.getLogger("biplane.loop")

Snapshot = TypeVar("Snapshot")
Seen_contra = TypeVar("Seen_contra", contravariant=True)

POLL_SECONDS = 0.2
"""How often the loop asks the store whether anything changed, when nobody rings."""
RETRY_SECONDS = 1.0
"""How long the loop rests after a pass that failed."""
BEAT_SECONDS = 2.0


class Domain(Protocol[Snapshot]):
    """What a domain plugs into the loop."""

    name: str
    period: float
    """How many seconds the loop goes without looking at the world while the store does not change."""

    def observe(self, store: Store, now: float) -> Snapshot:
        """Everything the decision needs, `now` included."""
        ...

    def decide(self, snapshot: Snapshot) -> Plan:
        """Pure: the same snapshot gives the same plan."""
        ...


@dataclass(frozen=True)
class Pass:
    """One turn of the loop: seconds spent in each phase, and how much was asked for."""

    observe: float
    decide: float
    record: float
    act: float
    records: int
    effects: int


@dataclass
class Loop(Generic[Snapshot]):
    """Runs one domain until told to stop."""

    domain: Domain[Snapshot]
    store: Store
    act: Callable[[Effect], None]
    clock: Clock
    bell: Bell | None = None
    """Wakes it when something was committed on this machine; without one it only polls."""
    _troubles: dict[str, str] = field(default_factory=dict)  # by repr: an effect that holds a mapping has no hash

    def turn(self) -> Pass:
        """One pass. Raises Conflict when the store moved underneath: nothing was written, turn again."""
        now = self.clock()
        began = time.perf_counter()
        snapshot = self.domain.observe(self.store, now)
        observed = time.perf_counter()
        plan = self.domain.decide(snapshot)
        decided = time.perf_counter()
        if plan.records:
            self.store.commit(plan.records, who=self.domain.name, now=now)
            if self.bell is not None:
                self.bell.ring_others()
        recorded = time.perf_counter()
        for effect in plan.effects:
            self._act(effect, now)
        acted = time.perf_counter()
        asked = {repr(effect) for effect in plan.effects} if self._troubles else set()
        self._troubles = {effect: why for effect, why in self._troubles.items() if effect in asked}
        return Pass(
            observed - began,
            decided - observed,
            recorded - decided,
            acted - recorded,
            len(plan.records),
            len(plan.effects),
        )

    def run(self, stop: threading.Event) -> None:
        """Turn whenever the store changed, and at least every `period` seconds, until `stop` is set."""
        seen, looked, beaten = -1, 0.0, 0.0
        while not stop.is_set():
            try:
                revision = self.store.revision()
                if revision != seen or self.clock() - looked >= self.domain.period:
                    # Read before the turn: a write during it must cause another turn.
                    seen, looked = revision, self.clock()
                    last = self.turn()
                    if self.clock() - beaten >= BEAT_SECONDS:
                        beaten = self.clock()
                        self.store.beat(self.domain.name, {**vars(last), "pid": os.getpid()}, now=beaten)
            except Conflict:
                seen = -1
                continue
            except Exception:
                # A control actor outlives any one bad pass: the next one starts from a new look at the world.
                log.exception("%s: this pass failed", self.domain.name)
                seen = -1
                stop.wait(RETRY_SECONDS)
            if self.bell is None:
                stop.wait(POLL_SECONDS)
            else:
                self.bell.wait(POLL_SECONDS)

    def _act(self, effect: Effect, now: float) -> None:
        try:
            self.act(effect)
        except Exception as error:
            # The effect is asked for again by the next pass; the event is written once per new reason.
            why = f"{type(error).__name__}: {error}"
            log.exception("%s: %s failed", self.domain.name, type(effect).__name__)
            if self._troubles.get(repr(effect)) != why:
                self._troubles[repr(effect)] = why
                note = Note(kind=effect.kind, name=effect.name, event="EffectFailed", reason=why)
                self.store.commit((note,), who=self.domain.name, now=now)
