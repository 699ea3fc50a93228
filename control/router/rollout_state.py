"""What a roll-out is: which version is stable, which is coming, how far it has come, what was found out. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from control.router.analysis import Comparison, Figures
from control.specs.rollout import RolloutSpec
from control.traffic import Traffic

FULL = 100.0
"""Percent."""


@dataclass(frozen=True, order=True)
class Release:
    """A version with one set of settings: all applications whose names agree in both."""

    version: int
    settings: str

    def __str__(self) -> str:
        return f"version {self.version} ({self.settings})"


class Stage(Enum):
    """Where a roll-out stands."""

    STEADY = "Steady"  # one version serves and no other is coming
    PREPARING = "Preparing"  # the target is starting
    SHADOWING = "Shadowing"  # the target gets copies
    STEPPING = "Stepping"  # the target takes a part of the traffic
    KEEPING = "Keeping"  # the target takes all, the old one stands warm


class Event(Enum):
    """What moves a roll-out; the values are names of the store's events."""

    BEGUN = "RolloutBegun"
    MIRRORED = "RolloutMirrored"
    STEPPED = "RolloutStepped"
    SWITCHED = "RolloutSwitched"
    PROMOTED = "RolloutPromoted"
    ROLLED_BACK = "RolledBack"
    ABORTED = "RolloutAborted"
    WITHDRAWN = "RolloutWithdrawn"
    SUPERSEDED = "RolloutSuperseded"
    HELD = "RolloutHeld"
    PAUSED = "RolloutPaused"
    RESUMED = "RolloutResumed"
    REFUSED = "RolloutRequestRefused"
    SPLIT = "TrafficSplit"


_ENDS = {
    Event.ROLLED_BACK: Stage.STEADY,
    Event.ABORTED: Stage.STEADY,
    Event.WITHDRAWN: Stage.STEADY,
    Event.SPLIT: Stage.STEADY,
    Event.SUPERSEDED: Stage.PREPARING,
}
_ANY: Mapping[Stage, Mapping[Event, Stage]] = {
    stage: {**_ENDS, **dict.fromkeys((Event.HELD, Event.PAUSED, Event.RESUMED, Event.REFUSED), stage)}
    for stage in Stage
    if stage is not Stage.STEADY
}
TRANSITIONS: Mapping[tuple[Stage, Event], Stage] = {
    (stage, event): after for stage, moves in _ANY.items() for event, after in moves.items()
} | {
    (Stage.STEADY, Event.BEGUN): Stage.PREPARING,
    (Stage.STEADY, Event.SPLIT): Stage.STEADY,
    (Stage.STEADY, Event.REFUSED): Stage.STEADY,
    (Stage.PREPARING, Event.MIRRORED): Stage.SHADOWING,
    (Stage.PREPARING, Event.STEPPED): Stage.STEPPING,
    (Stage.PREPARING, Event.SWITCHED): Stage.KEEPING,
    (Stage.PREPARING, Event.PROMOTED): Stage.STEADY,
    (Stage.SHADOWING, Event.STEPPED): Stage.STEPPING,
    (Stage.SHADOWING, Event.SWITCHED): Stage.KEEPING,
    (Stage.STEPPING, Event.STEPPED): Stage.STEPPING,
    (Stage.STEPPING, Event.SWITCHED): Stage.KEEPING,
    (Stage.KEEPING, Event.PROMOTED): Stage.STEADY,
}
"""Pairs that are missing cannot happen; the test walks the full product."""


class Action(Enum):
    """What a person may ask of a roll-out."""

    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


@dataclass(frozen=True)
class Request:
    """`number` rises with every request of one deployment: each is answered once. `who` asked."""

    number: int
    action: Action
    who: str = ""


@dataclass(frozen=True)
class Reading:
    """What a release did so far, by source (a gateway replica's count of one application), each cumulative."""

    sources: Mapping[str, Traffic] = field(default_factory=dict)
    judges: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def since(self, earlier: Reading) -> Figures:
        """What came after `earlier`. What a source counted that is gone now is lost."""
        parts = (traffic - earlier.sources.get(name, Traffic()) for name, traffic in self.sources.items())
        judges = {
            name: {score: max(0, n - earlier.judges.get(name, {}).get(score, 0)) for score, n in scores.items()}
            for name, scores in self.judges.items()
        }
        return Figures(sum(parts, Traffic()), judges)


@dataclass(frozen=True)
class Failure:
    """A release that was rolled back, and the digest of the spec that had asked for it."""

    release: Release
    reason: str
    spec: str


@dataclass(frozen=True)
class State:
    """A deployment's roll-out as stored. Times in seconds since the epoch.

    `percent` is what the target takes, `since` when it came to that, `analyses` how many have begun, `before` what each
    arm had done when the present one began. `last` is what the stable arm did in the step before the target took all.
    `held` says why it does not go on by itself; `answered` is the number of the last request that was answered.
    """

    stage: Stage = Stage.STEADY
    stable: Release | None = None
    target: Release | None = None
    percent: float = 0.0
    since: float = 0.0
    analyses: int = 0
    before: Mapping[Release, Reading] = field(default_factory=dict)
    last: Figures = field(default_factory=Figures)
    paused: str = ""
    held: str = ""
    failures: tuple[Failure, ...] = ()
    answered: int = 0

    def why_failed(self, release: Release, spec: str) -> str:
        """Why `release` is not tried again while the spec's digest is this; empty where it may be."""
        return next((one.reason for one in self.failures if (one.release, one.spec) == (release, spec)), "")


@dataclass(frozen=True)
class Look:
    """What is wanted and seen now.

    `wanted` None: no version that the spec asks for is registered. `digest` is the spec's without what people ask in
    between: while it stays the same no failed version is tried again. `ready` has the part, 0 to 1, of each release's
    replicas that can serve. `named` are the releases of an A/B test's arms by name; one that is not registered lacks.
    """

    now: float
    spec: RolloutSpec
    digest: str
    wanted: Release | None
    ready: Mapping[Release, float]
    readings: Mapping[Release, Reading] = field(default_factory=dict)
    named: Mapping[str, Release] = field(default_factory=dict)
    request: Request | None = None


@dataclass(frozen=True)
class Share:
    """`weight` of the requests, or of copies of them, 0 to 1; `name` is an A/B arm's."""

    release: Release
    weight: float
    name: str = ""


@dataclass(frozen=True)
class Decision:
    """The weights of `arms` add up to 1, or there are none because nothing can serve yet.

    `happened` in order, each with its reason; `reason` says what is waited for. `keeps` are the releases that have to
    run.
    """

    state: State
    arms: tuple[Share, ...]
    shadows: tuple[Share, ...]
    happened: tuple[tuple[Event, str], ...]
    reason: str
    keeps: frozenset[Release]
    comparison: Comparison | None = None
