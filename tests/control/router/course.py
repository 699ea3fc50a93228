"""A roll-out looked at turn by turn, its state read again from the store each time."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from control.router.rollout import decide
from control.router.rollout_json import from_json, to_json
from control.router.rollout_state import Action, Decision, Event, Look, Reading, Release, Request, State
from control.specs.rollout import RolloutSpec
from control.traffic import Traffic

V1, V2, V3 = (Release(version, "s") for version in (1, 2, 3))


def spec(strategy: str, **fields: Any) -> RolloutSpec:
    return RolloutSpec.model_validate({"strategy": strategy, **fields})


def traffic(requests: int, errors: int = 0, bucket: int = 50) -> Traffic:
    times = {bucket: requests}
    return Traffic(requests, errors, times, {32: 30 * requests}, times)


@dataclass
class Course:
    """A deployment whose version 1 is stable, looked at whenever somebody says so."""

    look: Look
    state: State

    def __init__(self, strategy: RolloutSpec, stable: Release | None = V1, wanted: Release = V2) -> None:
        ready = {V1: 1.0, V2: 1.0, V3: 1.0}
        self.look = Look(1000.0, strategy, "d1", wanted, ready, dict.fromkeys(ready, Reading()))
        self.state = State(stable=stable)

    def turn(self, seconds: float = 0, **changes: Any) -> Decision:
        self.look = replace(self.look, now=self.look.now + seconds, **changes)
        decision = decide(self.state, self.look)
        self.state = from_json(json.loads(json.dumps(to_json(decision.state))))
        assert self.state == decision.state
        return decision

    def serve(self, release: Release, more: Traffic) -> None:
        before = self.look.readings[release].sources.get("gateway-0", Traffic())
        self.look = replace(self.look, readings={**self.look.readings, release: Reading({"gateway-0": before + more})})

    def serve_both(self, bad: int = 0, slow: int = 0) -> None:
        self.serve(V1, traffic(3000))
        self.serve(V2, traffic(300, bad, 50 + slow))

    def ask(self, action: Action, number: int = 1) -> Decision:
        return self.turn(request=Request(number, action, "ada"))


def weights(decision: Decision) -> dict[Release, float]:
    return {share.release: share.weight for share in decision.arms}


def events(decision: Decision) -> list[Event]:
    return [event for event, _ in decision.happened]


def canary(**fields: Any) -> Course:
    course = Course(spec("canary", **fields))
    course.turn()
    return course
