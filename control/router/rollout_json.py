"""A roll-out's state as the store keeps it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.router.analysis import Figures
from control.router.rollout_state import Failure, Reading, Release, Stage, State
from control.traffic import Traffic, document, parse


def to_json(state: State) -> dict[str, Any]:
    """What `from_json` reads; without what is as in a new state."""
    told: dict[str, Any] = {
        "stage": state.stage.value,
        "stable": _release_json(state.stable),
        "target": _release_json(state.target),
        "percent": state.percent,
        "since": state.since,
        "analyses": state.analyses,
        "before": [
            {"release": _release_json(release), "traffic": document(reading.sources), "judges": _keyed(reading.judges)}
            for release, reading in sorted(state.before.items(), key=lambda pair: pair[0])
        ],
        "last": {"traffic": document({"": state.last.traffic}), "judges": _keyed(state.last.judges)},
        "paused": state.paused,
        "held": state.held,
        "failures": [
            {"release": _release_json(failure.release), "reason": failure.reason, "spec": failure.spec}
            for failure in state.failures
        ],
        "answered": state.answered,
    }
    return told if state == State() else {key: value for key, value in told.items() if value or key == "stage"}


def from_json(told: Mapping[str, Any]) -> State:
    """Of nothing a new state. Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
    plain = {
        name: told[name] for name in ("percent", "since", "analyses", "paused", "held", "answered") if name in told
    }
    last = told.get("last", {"traffic": document({"": Traffic()}), "judges": {}})
    return State(
        stage=Stage(told.get("stage", Stage.STEADY.value)),
        stable=_release(told.get("stable")),
        target=_release(told.get("target")),
        before={
            Release(**one["release"]): Reading(parse(one["traffic"]), _numbered(one["judges"]))
            for one in told.get("before", ())
        },
        last=Figures(parse(last["traffic"])[""], _numbered(last["judges"])),
        failures=tuple(
            Failure(Release(**one["release"]), one["reason"], one["spec"]) for one in told.get("failures", ())
        ),
        **plain,
    )


def _release_json(release: Release | None) -> dict[str, Any] | None:
    return None if release is None else {"version": release.version, "settings": release.settings}


def _release(told: Mapping[str, Any] | None) -> Release | None:
    return None if told is None else Release(**told)


def _keyed(judges: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, int]]:
    return {name: {str(score): count for score, count in scores.items()} for name, scores in judges.items()}


def _numbered(told: Mapping[str, Mapping[str, int]]) -> dict[str, dict[int, int]]:
    return {name: {int(score): count for score, count in scores.items()} for name, scores in told.items()}
