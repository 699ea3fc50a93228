"""What judges outside said of a version's answers: how many scores fell on each hundredth, by judge. Pure.

A judge is whoever scores answers: a model, a test, a person. The answer's header `x-biplane-version` says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

KIND = "Judgement"

Scores = Mapping[str, Mapping[int, int]]


def judgement(deployment: str, version: int) -> str:
    """The name of the object that keeps what was said of a deployment's version."""
    return f"{deployment}@{version}"


def with_scores(spec: Mapping[str, Any], scores: Mapping[str, Iterable[float]]) -> dict[str, Any]:
    """The spec with more scores. Raises ValueError for one outside 0 to 1."""
    found = {judge: dict(counts) for judge, counts in spec.get("scores", {}).items()}
    for judge, given in scores.items():
        counts = found.setdefault(judge, {})
        for score in given:
            if not 0 <= score <= 1:
                raise ValueError(f"{judge}: found {score:g}; expected a score from 0 (worst) to 1 (best)")
            hundredth = str(round(100 * score))
            counts[hundredth] = counts.get(hundredth, 0) + 1
    return {**spec, "scores": found}


def scores_of(spec: Mapping[str, Any]) -> Scores:
    return {
        judge: {int(hundredth): int(count) for hundredth, count in counts.items()}
        for judge, counts in spec.get("scores", {}).items()
    }
