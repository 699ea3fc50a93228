"""An objective of the SLA that is missed is told once, and again when it is met."""

from __future__ import annotations

from control.traffic import BEAT_PREFIX, Traffic, bucket, document
from tests.control.router.test_rollouts import events
from tests.control.router.world import deployment, plane_with, status
from tests.fakes.plane import Plane


def answer(plane: Plane, seconds: int, itl_ms: float, requests: int = 0) -> int:
    """Two more requests each second, every one of ten chunks; how many there were."""
    (app,) = plane.models()
    for _ in range(seconds):
        requests += 2
        told = Traffic(requests, 0, {}, {bucket(itl_ms): 10 * requests}, {})
        plane.store.beat(f"{BEAT_PREFIX}g1", document({app: told}), now=plane.clock())
        plane.turn()
    return requests


def test_tokens_that_come_too_slowly_are_told_with_figures_and_the_end_of_it_too() -> None:
    plane = plane_with(1, deployment() + "  sla: {itl_ms: 50}\n")
    plane.settle()
    answer(plane, 20, itl_ms=90.0)
    (missed,) = plane.only("Deployment").status["missed"]
    assert missed["message"].startswith("the p99 of the time between tokens of chat is ")
    assert missed["message"].endswith(" ms; at most 50 ms wanted")
    for _ in range(40):
        plane.turn()
    assert status(plane)["missed"] == []
    assert [event for event in events(plane) if event.startswith("Objective")][::-1] in (
        ["ObjectiveMet", "ObjectiveMissed"],
        ["ObjectiveMissed", "ObjectiveMet"],
    )


def test_who_promises_nothing_misses_nothing() -> None:
    plane = plane_with(1, deployment() + "  sla: {itl_ms: null}\n")
    plane.settle()
    answer(plane, 20, itl_ms=900.0)
    assert status(plane)["missed"] == []
