"""What judges outside say of a version decides about its roll-out like any other figure."""

from __future__ import annotations

import pytest

from control.kernel.plan import PutSpec
from control.kernel.present import AppState
from control.router.judgements import KIND, judgement, scores_of, with_scores
from tests.control.router.test_rollouts import CANARY, answer, events, go_on, shares
from tests.control.router.world import deployment, plane_with


def test_scores_add_up_by_judge() -> None:
    spec = with_scores(with_scores({"deployment": "u"}, {"kind": [0.5, 0.501]}), {"kind": [1], "true": [0]})
    assert (spec["deployment"], scores_of(spec)) == ("u", {"kind": {50: 2, 100: 1}, "true": {0: 1}})


@pytest.mark.parametrize("score", [-0.1, 1.01, float("nan")])
def test_what_is_no_score_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"faithful: found .*; expected a score from 0"):
        with_scores({}, {"faithful": [score]})


def test_a_version_that_a_judge_likes_less_goes_back() -> None:
    plane = plane_with(1, deployment() + CANARY.replace("}", ", analysis: {judges: [faithful]}}"))
    plane.settle()
    plane.mlflow.register("chat", "second")
    plane.until(lambda: len(plane.models()) == 2)
    for app in plane.models():
        plane.drive.turn_app(app, AppState.RUNNING)
    plane.until(lambda: len(shares(plane)) == 2)
    uid = plane.only("Deployment").uid
    for version, score in ((1, 0.9), (2, 0.4)):
        spec = with_scores({"deployment": uid}, {"faithful": [score] * 300})
        name = judgement("chat", version)
        plane.store.commit((PutSpec(kind=KIND, name=name, event="Judged", reason="", spec=spec),), who="j", now=1.0)
    answer(plane)
    go_on(plane)
    assert shares(plane) == {1: 1.0}
    assert "RolledBack" in events(plane)
