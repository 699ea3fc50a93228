"""Whether an engine still works, judged by what comes out of it. Pure.

A hung engine looks alive: its process is there, its sockets take requests. What it cannot do is finish a step. So
the clock runs only while the engine has work and finishes none; an idle engine is given a token to make now and then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

LOOK_SECONDS = 0.1
"""Between two looks. A look that comes late counts for two at most: then it was the replica that stood still."""
PROBE_SECONDS = 3.0
"""An engine that has work and brings forth nothing for so long is asked for a token of our own."""
IDLE_SECONDS = 10.0
"""So often an idle engine is asked for a token: that costs it one step of one token."""
PATIENCE_SECONDS = 10.0
"""A step computes at most `max_num_batched_tokens` tokens: on a device the longest take 3 s (8,192 tokens of 70 B
weights); what is compiled late takes longer, which the warm-up has behind it."""
CPU_PATIENCE_SECONDS = 20.0
"""On a CPU a step may wait for other processes' turns. While its own processes compute, this clock stands still."""
LONGEST_SECONDS = 600.0
"""An engine that computes, or ends steps, and brings forth not one token for so long is hung in a loop."""


class Verdict(Enum):
    """What is to be done about the engine."""

    WELL = "nothing"
    PROBE = "ask it for a token"
    WEDGED = "end it"


@dataclass(frozen=True)
class Sight:
    """One look: how many steps ended and what they brought forth so far, how many requests the engine has (a probe
    counts), whether one of them is a probe, and whether its processes compute (known of a CPU only)."""

    steps: int
    produced: int
    requests: int
    probing: bool = False
    computing: bool = False


@dataclass(frozen=True)
class Watch:
    """What the looks so far showed: for how many seconds the engine was idle, had work and ended no step while it did
    not compute (`silent_s`), and had work and brought forth nothing (`barren_s`). `was_asked`: for a token, since it
    last brought forth something."""

    patience_s: float
    last: Sight = Sight(0, 0, 0)
    idle_s: float = 0.0
    silent_s: float = 0.0
    barren_s: float = 0.0
    was_asked: bool = False

    def asked(self) -> Watch:
        """The watch after a probe was sent, whatever becomes of it."""
        return replace(self, idle_s=0.0, was_asked=True)

    def after(self, sight: Sight, passed_s: float) -> Watch:
        """The watch after another look, `passed_s` seconds after the last."""
        passed = min(passed_s, 2 * LOOK_SECONDS)
        if not sight.requests:
            stepped = sight.steps != self.last.steps
            return Watch(self.patience_s, sight, 0.0 if stepped else self.idle_s + passed)
        if not self.last.requests:  # its work came since the last look
            passed = 0.0
        silent_s = self.silent_s if sight.computing else self.silent_s + passed
        if sight.steps != self.last.steps:
            silent_s = 0.0
        if sight.produced != self.last.produced:
            return Watch(self.patience_s, sight, silent_s=silent_s)
        return replace(self, last=sight, idle_s=0.0, silent_s=silent_s, barren_s=self.barren_s + passed)

    @property
    def verdict(self) -> Verdict:
        if self.silent_s >= self.patience_s or self.barren_s >= LONGEST_SECONDS:
            return Verdict.WEDGED
        if self.last.probing:
            return Verdict.WELL
        if self.idle_s >= IDLE_SECONDS or (self.barren_s >= PROBE_SECONDS and not self.was_asked):
            return Verdict.PROBE
        return Verdict.WELL

    @property
    def trouble(self) -> str:
        """What a wedged engine is said to suffer from."""
        if self.silent_s >= self.patience_s:
            return f"the engine had requests and ended no step for {self.silent_s:.0f} s"
        return f"the engine had requests and brought forth no token for {self.barren_s:.0f} s"
