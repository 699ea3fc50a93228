"""A version that is worse is found soon, one that is not is let through, whenever one looks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from control.router.analysis import Figures, Verdict, compare
from control.router.betting import Scores, log_e_above, log_e_value
from control.specs.rollout import Analysis, Limits
from control.traffic import Histogram, Traffic, bucket

ALLOWED = Analysis()
FIVE_PERCENT = 19
"""So many requests come to the stable arm for one to the target."""


def histogram(times: list[float]) -> Histogram:
    found: dict[int, int] = {}
    for ms in times:
        found[bucket(ms)] = found.get(bucket(ms), 0) + 1
    return found


def figures(
    rng: np.random.Generator, requests: int, failing: float, slower: float = 1.0, sigma: float = 0.5
) -> Figures:
    ttft = [float(ms) for ms in 200 * slower * rng.lognormal(0, sigma, requests)]
    failed = int((rng.random(requests) < failing).sum())
    whole = [ms + 600 for ms in ttft]
    return Figures(Traffic(requests, failed, histogram(ttft), {bucket(20): 30 * requests}, histogram(whole)))


def requests_to_proof(seed: int, failing: float, slower: float, sigma: float) -> int | None:
    """At 5 % of the traffic, looked at every 20 requests up to 200."""
    rng = np.random.default_rng(seed)
    target, stable = Traffic(), Traffic()
    for count in range(20, 201, 20):
        target += figures(rng, 20, failing, slower, sigma).traffic
        stable += figures(rng, 20 * FIVE_PERCENT, 0.0, sigma=sigma).traffic
        if compare(Figures(target), Figures(stable), ALLOWED).verdict is Verdict.WORSE:
            return count
    return None


@pytest.mark.parametrize(
    ("failing", "slower", "sigma", "median"), [(0.1, 1.0, 0.5, 100), (0.0, 2.0, 0.5, 60), (0.0, 2.0, 0.8, 100)]
)
def test_what_is_worse_is_found_within_200_of_its_requests(
    failing: float, slower: float, sigma: float, median: int
) -> None:
    found = [requests_to_proof(seed, failing, slower, sigma) for seed in range(12)]
    counts = [count for count in found if count is not None]
    assert len(counts) == len(found)
    assert np.median(counts) <= median


def test_what_is_as_good_is_never_called_worse_however_often_one_looks() -> None:
    for seed in range(12):
        assert requests_to_proof(seed, 0.0, 1.0, 0.5) is None


def test_enough_requests_without_a_difference_are_enough_to_go_on() -> None:
    rng = np.random.default_rng(1)
    found = compare(figures(rng, 300, 0.01), figures(rng, 5000, 0.01), ALLOWED)
    assert found.verdict is Verdict.BETTER_OR_EQUAL
    assert found.reason == "nothing is worse: 300 requests beside 5000 of the stable version"


def test_a_version_somewhat_slower_than_allowed_factors_is_still_good() -> None:
    rng = np.random.default_rng(2)
    assert compare(figures(rng, 2000, 0.0, slower=1.1), figures(rng, 9000, 0.0), ALLOWED).verdict is (
        Verdict.BETTER_OR_EQUAL
    )


def test_a_proof_names_the_measure_what_was_seen_and_how_sure_it_is() -> None:
    rng = np.random.default_rng(3)
    found = compare(figures(rng, 200, 0.0, slower=2.0), figures(rng, 3800, 0.0), ALLOWED)
    assert found.verdict is Verdict.WORSE
    assert found.reason.startswith("it is worse: ttft: p50 ")
    assert "ms beside" in found.reason
    assert "over 200 requests; 1.2 × is allowed; e-value " in found.reason
    assert found.reason.endswith("800 is proof")


def test_errors_name_both_rates() -> None:
    rng = np.random.default_rng(4)
    reason = compare(figures(rng, 200, 0.2), figures(rng, 3800, 0.0), ALLOWED).reason
    assert "of 200 requests failed" in reason
    assert "0 of 3800 of the stable version (0 %); 0.5 points more are allowed" in reason


def test_every_later_step_needs_more_proof_so_that_all_together_err_seldom() -> None:
    rng = np.random.default_rng(5)
    mine, theirs = figures(rng, 100, 0.0), figures(rng, 1000, 0.0)
    needed = [compare(mine, theirs, ALLOWED, step=step).findings[0].needed for step in range(3)]
    assert needed == pytest.approx([800, 1600, 3200])


def test_a_few_requests_of_the_stable_version_prove_nothing() -> None:
    rng = np.random.default_rng(6)
    found = compare(figures(rng, 500, 0.5), figures(rng, 49, 0.0), ALLOWED)
    assert found.verdict is Verdict.HOLD
    assert found.reason == (
        "the stable version has less than the 50 requests that a comparison needs: "
        "500 requests beside 49 of the stable version"
    )


def test_without_a_request_nothing_is_known() -> None:
    rng = np.random.default_rng(7)
    assert compare(Figures(), figures(rng, 500, 0.0), ALLOWED).verdict is Verdict.HOLD


def test_what_looks_worse_is_waited_on() -> None:
    target, stable = Traffic(40, 3), Traffic(760, 0)
    found = compare(Figures(target), Figures(stable), ALLOWED)
    assert found.verdict is Verdict.HOLD
    assert found.reason.startswith("it looks worse in error_rate, which is no proof yet: error_rate: 3 of 40")


def test_a_target_that_takes_all_is_judged_by_its_errors_not_by_times_under_another_load() -> None:
    rng = np.random.default_rng(8)
    earlier = figures(rng, 2000, 0.0)
    slow, failing = figures(rng, 2000, 0.0, slower=3.0), figures(rng, 2000, 0.1)
    assert compare(slow, earlier, ALLOWED, alone=True).verdict is Verdict.BETTER_OR_EQUAL
    assert compare(failing, earlier, ALLOWED, alone=True).verdict is Verdict.WORSE


def test_a_limit_holds_whatever_the_stable_version_does() -> None:
    rng = np.random.default_rng(9)
    allowed = Analysis(limits=Limits(ttft_ms=250.0))
    mine, theirs = figures(rng, 300, 0.0), figures(rng, 5700, 0.0)
    found = compare(mine, theirs, allowed)
    assert found.verdict is Verdict.WORSE
    assert "above the limit of 250 ms; 5 % are allowed" in found.reason
    assert compare(mine, Figures(), allowed).verdict is Verdict.WORSE
    assert compare(mine, theirs, Analysis(limits=Limits(ttft_ms=2500.0))).verdict is Verdict.BETTER_OR_EQUAL


def test_a_judge_that_likes_the_new_version_less_is_heard() -> None:
    rng = np.random.default_rng(10)
    allowed = Analysis(judges=("faithful",))
    mine, theirs = figures(rng, 300, 0.0), figures(rng, 3000, 0.0)
    liked, disliked = {80: 1500, 90: 1500}, {50: 150, 60: 150}
    worse = compare(replace(mine, judges={"faithful": disliked}), replace(theirs, judges={"faithful": liked}), allowed)
    assert worse.verdict is Verdict.WORSE
    assert worse.reason.startswith("it is worse: judge faithful: mean score 0.550 of 300 answers, 0.850 of 3000")
    alike = {80: 150, 90: 150}
    same = compare(replace(mine, judges={"faithful": alike}), replace(theirs, judges={"faithful": liked}), allowed)
    assert same.verdict is Verdict.BETTER_OR_EQUAL


def itl_e_value(gaps: int) -> float:
    """40 streams of the target and 800 of the stable version, each with so many gaps."""
    slow = Traffic(40, 0, {50: 40}, {34: 20 * gaps, 28: 20 * gaps}, {90: 40})
    stable = Traffic(800, 0, {50: 800}, {30: 400 * gaps, 28: 400 * gaps}, {90: 800})
    return next(f for f in compare(Figures(slow), Figures(stable), ALLOWED).findings if f.measure == "itl").e_value


def test_the_many_gaps_of_a_stream_prove_no_more_than_one_would() -> None:
    assert itl_e_value(1) == pytest.approx(itl_e_value(1000))
    assert itl_e_value(1) > 1


def test_the_first_few_requests_of_a_new_engine_prove_nothing() -> None:
    rng = np.random.default_rng(12)
    stable = figures(rng, 3000, 0.0)
    found = {count: compare(figures(rng, count, 0.0, slower=20.0), stable, ALLOWED).verdict for count in (19, 20)}
    assert found == {19: Verdict.HOLD, 20: Verdict.WORSE}


def bits(ones: int, total: int) -> Scores:
    return Scores(np.array([0.0, 1.0]), np.array([total - ones, ones], dtype=np.float64))


def test_betting_against_a_true_mean_wins_a_thousandfold_at_most_once_in_a_thousand() -> None:
    rng = np.random.default_rng(11)
    games = rng.random((400, 500)) < 0.1
    sums = np.cumsum(games, axis=1)
    best = max(
        log_e_value(bits(int(sums[game, n - 1]), n), 0.1) for game in range(len(games)) for n in range(50, 501, 50)
    )
    assert best < math.log(1000)


def test_the_less_is_known_of_the_others_the_less_is_proved() -> None:
    known = [log_e_above(bits(20, 200), bits(n // 100, n), 0.005) for n in (100, 1000, 10000)]
    assert known == sorted(known)
    assert known[-1] <= log_e_value(bits(20, 200), 0.015)
