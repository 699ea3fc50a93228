"""Roll-outs of good and bad versions on simulated traffic, through the live decision code, one look a second.

Each roll-out has its own world: 20 to 200 requests a second, a median time to first token of 50 to 800 ms that drifts
for both arms alike (AR(1) over seconds, 15 %), lognormal noise of the family's sigma, errors of the stable version
(0, 0.1 or 1 %), streams of 16 gaps that share a factor. Canary of 5, 25, 50 and 100 %, 20 s and 200 requests at
least for each step, all other settings as they come.

  good          as the stable version; half of the worlds with sigma 0.5, a quarter with 1.0, a quarter with outliers
  errors        one request in ten fails
  ttft          twice the time to first token, sigma 0.5
  ttft_heavy    the same with sigma 1.0
  ttft_outliers the same with sigma 0.5 and one request in twenty five times as slow, in both arms

Two peers on the same readings, `naive` and `patient`: each second, from the 20th or the 200th request of the new
version in a step, they go back where the error rate lies above the stable arm's by more than the same margin, or the
median time to first token above 1.2 times the stable arm's. Where Biplane has gone back and a peer has not, the step
goes on for it.

Usage: python -m scripts.bench.rollout [--json] [--seed S] [--rollouts N] [--family F]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from control.router.rollout import decide
from control.router.rollout_state import Look, Reading, Release, Stage, State
from control.specs.rollout import RolloutSpec
from control.traffic import LEAST_MS, RATIO, Histogram, Traffic, quantile

STABLE, TARGET = Release(1, "s"), Release(2, "s")
SPEC = RolloutSpec(strategy="canary", hold=20.0)
MOST_SECONDS = 900
PEERS: Mapping[str, int] = {"naive": 20, "patient": 200}
"""From which request on they judge."""
PEERS_FACTOR = 1.2
GAPS = 16
FAMILIES: Mapping[str, tuple[float, float, float, float]] = {
    "good": (0.5, 0.0, 0.0, 1.0),
    "errors": (0.5, 0.0, 0.1, 1.0),
    "ttft": (0.5, 0.0, 0.0, 2.0),
    "ttft_heavy": (1.0, 0.0, 0.0, 2.0),
    "ttft_outliers": (0.5, 0.05, 0.0, 2.0),
}
"""Sigma, the share of outliers, the target's errors besides the stable version's, and its factor on TTFT."""
GOOD_NOISE = ((0.5, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 0.05))


@dataclass(frozen=True)
class World:
    rate: float
    median_ms: float
    sigma: float
    outliers: float
    errors: float
    worse_errors: float
    slower: float


@dataclass(frozen=True)
class Course:
    """How one roll-out went. Counts are of the new version's requests; None where it did not come to that."""

    promoted_after: int | None
    rolled_back_after: int | None
    rolled_back_requests: int | None
    reason: str
    peers: Mapping[str, int]
    """The new version's requests when a peer went back, of those that did."""


def world_of(family: str, rng: np.random.Generator) -> World:
    sigma, outliers, worse, slower = FAMILIES[family]
    if family == "good":
        sigma, outliers = GOOD_NOISE[rng.integers(len(GOOD_NOISE))]
    return World(
        rate=float(np.exp(rng.uniform(np.log(20), np.log(200)))),
        median_ms=float(np.exp(rng.uniform(np.log(50), np.log(800)))),
        sigma=sigma,
        outliers=outliers,
        errors=float(rng.choice([0.0, 0.001, 0.01])),
        worse_errors=worse,
        slower=slower,
    )


def second_of(world: World, arm: Release, share: float, drift: float, rng: np.random.Generator) -> Traffic:
    """What `arm` does in one second with `share` of the requests."""
    requests = int(rng.poisson(world.rate * share))
    bad = arm == TARGET
    ttft = world.median_ms * drift * rng.lognormal(0.0, world.sigma, requests)
    ttft *= np.where(rng.random(requests) < world.outliers, 5.0, 1.0) * (world.slower if bad else 1.0)
    gaps = 20.0 * rng.lognormal(0.0, 0.3, (requests, 1)) * rng.lognormal(0.0, 0.3, (requests, GAPS))
    failed = rng.random(requests) < world.errors + (world.worse_errors if bad else 0.0)
    whole = ttft + gaps.sum(axis=1)
    return Traffic(requests, int(failed.sum()), _counted(ttft), _counted(gaps.ravel()), _counted(whole[~failed]))


def _counted(ms: NDArray[np.float64]) -> Histogram:
    buckets = np.floor(np.log(np.maximum(ms, LEAST_MS)) / np.log(RATIO)).astype(int)
    found, counts = np.unique(buckets, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def course_of(world: World, rng: np.random.Generator) -> Course:
    """Until all have gone back, or Biplane has promoted, and the peers with it."""
    state = State(stable=STABLE)
    totals = {STABLE: Traffic(), TARGET: Traffic()}
    rolled_back: int | None = None
    rolled_back_requests: int | None = None
    peers: dict[str, int] = {}
    share, reason, drift, before = 0.0, "", 0.0, dict(totals)
    for now in range(MOST_SECONDS):
        if rolled_back is None:
            readings = {arm: Reading({"": traffic}) for arm, traffic in totals.items()}
            decision = decide(state, Look(float(now), SPEC, "d", TARGET, {STABLE: 1.0, TARGET: 1.0}, readings))
            if decision.happened:
                before = dict(totals)
            state = decision.state
            if state.stable == TARGET:
                return Course(now, None, None, "", peers)
            if state.failures:
                rolled_back, rolled_back_requests = now, totals[TARGET].requests
                reason = state.failures[0].reason
            else:
                share = sum(arm.weight for arm in decision.arms if arm.release == TARGET)
        for peer, least in PEERS.items():
            if peer not in peers and state.stage is not Stage.KEEPING and _goes_back(totals, before, least):
                peers[peer] = totals[TARGET].requests
        if rolled_back is not None and len(peers) == len(PEERS):
            break
        drift = 0.9 * drift + 0.15 * np.sqrt(1 - 0.81) * float(rng.normal())
        for arm, part in ((STABLE, 1 - share), (TARGET, share)):
            totals[arm] = totals[arm] + second_of(world, arm, part, float(np.exp(drift)), rng)
    return Course(None, rolled_back, rolled_back_requests, reason, peers)


def _goes_back(totals: Mapping[Release, Traffic], before: Mapping[Release, Traffic], least: int) -> bool:
    mine, theirs = totals[TARGET] - before[TARGET], totals[STABLE] - before[STABLE]
    if mine.requests < least or not theirs.requests:
        return False
    if mine.errors / mine.requests > theirs.errors / theirs.requests + SPEC.analysis.error_rate:
        return True
    p50, stable_p50 = quantile(mine.ttft_ms, 0.5), quantile(theirs.ttft_ms, 0.5)
    return p50 is not None and stable_p50 is not None and p50 > PEERS_FACTOR * stable_p50


def measure(family: str, rollouts: int, seed: int) -> dict[str, object]:
    began = time.perf_counter()
    courses = []
    for number in range(rollouts):
        rng = np.random.default_rng((seed, list(FAMILIES).index(family), number))
        courses.append(course_of(world_of(family, rng), rng))
    requests = [course.rolled_back_requests for course in courses if course.rolled_back_requests is not None]
    return {
        "family": family,
        "rollouts": rollouts,
        "promoted": sum(course.promoted_after is not None for course in courses),
        "rolled_back": len(requests),
        "undecided": sum(course.promoted_after is None and course.rolled_back_after is None for course in courses),
        "rolled_back_within_200_requests": sum(count <= 200 for count in requests),
        "requests_to_rollback": _spread(requests),
        "seconds_to_rollback": _spread([c.rolled_back_after for c in courses if c.rolled_back_after is not None]),
        "seconds_to_promotion": _spread([c.promoted_after for c in courses if c.promoted_after is not None]),
        **{f"{peer}_rolled_back": sum(peer in course.peers for course in courses) for peer in PEERS},
        **{
            f"{peer}_requests_to_rollback": _spread([c.peers[peer] for c in courses if peer in c.peers])
            for peer in PEERS
        },
        "reasons": sorted({course.reason for course in courses if course.reason})[: 10 if family == "good" else 1],
        "took_s": round(time.perf_counter() - began, 1),
    }


def _spread(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "max": float(max(values))}


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.rollout", description=__doc__, formatter_class=form)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rollouts", type=int, default=1000, help="of each family (%(default)s)")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="only these; may be given again")
    given = parser.parse_args()
    rows = [measure(family, given.rollouts, given.seed) for family in given.family or FAMILIES]
    if given.json:
        print(json.dumps({"seed": given.seed, "rows": rows, "definitions": __doc__}))
        return
    columns = [name for name in rows[0] if name != "reasons"]
    table = Table("", *(str(row["family"]) for row in rows), title=f"roll-outs on simulated traffic, seed {given.seed}")
    for name in columns[1:]:
        table.add_row(name, *(_shown(row[name]) for row in rows))
    Console().print(table)


def _shown(value: object) -> str:
    return " / ".join(f"{part:g}" for part in value.values()) if isinstance(value, dict) else str(value)


if __name__ == "__main__":
    main()
