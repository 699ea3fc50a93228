"""A hung engine is told from a slow one, and an idle one from both, by what comes out of it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from serve_apps.engine_watch import (
    IDLE_SECONDS,
    LONGEST_SECONDS,
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    PROBE_SECONDS,
    Sight,
    Verdict,
    Watch,
)


def watched(sights: Iterable[Sight], passed_s: float = LOOK_SECONDS) -> Watch:
    watch = Watch(PATIENCE_SECONDS)
    for sight in sights:
        watch = watch.after(sight, passed_s)
    return watch


def looks(seconds: float) -> range:
    """As many looks as there are in `seconds`, and two more for what rounding and the first one take."""
    return range(int(seconds / LOOK_SECONDS) + 2)


@pytest.mark.parametrize(
    ("sights", "verdict"),
    [
        ([Sight(5, 5, 0) for _ in looks(IDLE_SECONDS / 2)], Verdict.WELL),
        ([Sight(5, 5, 0) for _ in looks(IDLE_SECONDS)], Verdict.PROBE),
        ([Sight(5, 5, 3) for _ in looks(PROBE_SECONDS / 2)], Verdict.WELL),
        ([Sight(5, 5, 3) for _ in looks(PROBE_SECONDS)], Verdict.PROBE),
        ([Sight(5, 5, 4, probing=True) for _ in looks(PROBE_SECONDS)], Verdict.WELL),
        ([Sight(5, 5, 4, probing=True) for _ in looks(PATIENCE_SECONDS)], Verdict.WEDGED),
        ([Sight(5, 5, 3) for _ in looks(PATIENCE_SECONDS)], Verdict.WEDGED),
        ([Sight(at, at, 4, probing=True) for at in looks(5 * PATIENCE_SECONDS)], Verdict.WELL),
        ([Sight(at // 50, 5, 4, probing=True) for at in looks(5 * PATIENCE_SECONDS)], Verdict.WELL),
        ([Sight(5, 5, 4, probing=True, computing=True) for _ in looks(5 * PATIENCE_SECONDS)], Verdict.WELL),
        ([Sight(5, 5, 4, probing=True, computing=True) for _ in looks(LONGEST_SECONDS)], Verdict.WEDGED),
        ([Sight(at, 5, 4, probing=True) for at in looks(LONGEST_SECONDS)], Verdict.WEDGED),
    ],
    ids=[
        "it has been idle for a short while",
        "it has been idle for long",
        "a step takes a little longer",
        "a step takes long",
        "it was asked for a token a moment ago",
        "the token never comes",
        "nothing comes and it could not even be asked",
        "it makes tokens, only not yet ours",
        "a long prompt is read in steps of five seconds",
        "a CPU computes one long step",
        "a CPU computes for ever",
        "steps end, and no token comes out of any for ever",
    ],
)
def test_what_is_done_follows_from_what_comes_out(sights: list[Sight], verdict: Verdict) -> None:
    assert watched(sights).verdict is verdict


def test_work_that_comes_to_an_idle_engine_has_its_whole_patience() -> None:
    idle = watched(Sight(5, 5, 0) for _ in looks(100 * IDLE_SECONDS))
    assert idle.after(Sight(5, 5, 1), LOOK_SECONDS).verdict is Verdict.WELL


def test_a_replica_that_stood_still_itself_accuses_nobody() -> None:
    """Story: the machine was suspended for an hour, or the event loop was blocked; no step could be seen to end."""
    assert watched([Sight(5, 5, 3), Sight(5, 5, 3)], passed_s=3600).verdict is Verdict.WELL


def test_who_was_asked_is_not_asked_again_at_once() -> None:
    """Story: the engine refused the probe, because its line is as long as it may be."""
    busy = watched(Sight(5, 5, 3) for _ in looks(PROBE_SECONDS)).asked()
    assert busy.after(Sight(6, 5, 3), LOOK_SECONDS).verdict is Verdict.WELL
    idle = watched(Sight(5, 5, 0) for _ in looks(IDLE_SECONDS)).asked()
    assert idle.after(Sight(5, 5, 0), LOOK_SECONDS).verdict is Verdict.WELL


def test_one_step_is_enough_to_be_well_again() -> None:
    nearly = watched(Sight(5, 5, 4, probing=True) for _ in looks(PATIENCE_SECONDS - 0.5))
    assert nearly.after(Sight(6, 6, 4, probing=True), LOOK_SECONDS).silent_s == 0


def test_the_trouble_is_said_with_its_length() -> None:
    hung = watched(Sight(5, 5, 4, probing=True) for _ in looks(PATIENCE_SECONDS))
    assert hung.trouble == "the engine had requests and ended no step for 10 s"
    spinning = watched(Sight(at, 5, 4, probing=True) for at in looks(LONGEST_SECONDS))
    assert spinning.trouble == "the engine had requests and brought forth no token for 600 s"
