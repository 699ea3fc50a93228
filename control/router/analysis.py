"""Whether a version does worse than the stable one: a sequential test on what both did in the same time. Pure.

Every measure is a score in [0, 1] of a request, more is worse, and the null hypothesis that the target's expected score
lies no further above the stable arm's than is allowed:

* errors: 1 for a failed request; `error_rate` is what may be added.
* ttft, itl, latency_p99: a time counts by its rank among the stable arm's, after it was divided by the allowed factor;
  and 1 where so divided it still lies above a high quantile of theirs, for what is slow only sometimes. A whole
  number of buckets of 10 % is divided by, rounded up.
* limits: 1 above the limit; a fixed share may.
* judges: 1 less the judge's score; `judge_margin` is what may be added.

For each, an e-value of both arms' scores (`control.router.betting`): what is not known of the stable arm counts for the
target, and few requests of either prove nothing. Ranks are those in the very sample that they are compared with: the
mean over another arm of "how many of the stable arm's were faster" is the mean over the stable arm of "how often the
other is slower", which errs as the mean of the stable arm's own ranks does. ALPHA is split evenly over the measures,
and 1/2, 1/4, 1/8 ... over a roll-out's steps, each of which begins anew: load differs between them.

A stream's gaps are alike, so all gaps of an arm count as much as it had streams: by Jensen's inequality the capital of
one bet per stream on its mean gap is at least as large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from control.router.betting import Floats, Scores, log_e_above, log_e_value
from control.specs.rollout import Analysis
from control.traffic import RATIO, Histogram, Traffic, quantile

ALPHA = 0.01
"""How likely a roll-out of a good version may be called worse, over all of its steps and measures."""
DOUBT = 10.0
"""An e-value that is no proof but too much to go on: more is waited for."""
LEAST_STABLE = 50
"""Requests of the stable arm below which nothing is compared with it."""
LEAST_TARGET = 20
"""Requests of the target below which nothing is proof: a new engine's first ones may be slow without being alike."""
_UNASKED = "the new version has had no request yet"
_LOG_DOUBT, _LARGEST_LOG = math.log(DOUBT), 700.0
_TAILS = {"ttft": 0.95, "itl": 0.95, "latency_p99": 0.99}
_HISTOGRAMS = {"ttft": "ttft_ms", "itl": "itl_ms", "latency_p99": "latency_ms"}
_SHOWN = {"ttft": 0.5, "itl": 0.5, "latency_p99": 0.99}


class Verdict(Enum):
    BETTER_OR_EQUAL = "as good or better"
    HOLD = "not known yet"
    WORSE = "worse"


@dataclass(frozen=True)
class Figures:
    """What an arm did in some time. `judges` has for each judge how many scores fell on each hundredth, 0 to 100."""

    traffic: Traffic = field(default_factory=Traffic)
    judges: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What one measure says. The e-value is one of `needed` that would prove that it is worse."""

    measure: str
    e_value: float
    needed: float
    observed: str

    def __str__(self) -> str:
        return f"{self.measure}: {self.observed}; e-value {self.e_value:.3g}, {self.needed:.3g} is proof"


@dataclass(frozen=True)
class Comparison:
    """`findings` in the order of the measures over the target's `requests`. `reason` has the figures of now, `brief` is
    the same for as long as nothing else is the matter."""

    verdict: Verdict
    brief: str
    reason: str
    requests: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def doubtful(self) -> bool:
        """Whether something looks so much worse that nobody should go on."""
        return any(finding.e_value >= DOUBT for finding in self.findings)


@dataclass(frozen=True)
class _Test:
    """The target's scores may have a mean of `margin` above the stable arm's; above 0 where there is no `stable`."""

    measure: str
    target: Scores
    stable: Scores | None
    margin: float
    observed: str


def compare(target: Figures, stable: Figures, allowed: Analysis, *, step: int = 0, alone: bool = False) -> Comparison:
    """What `target` is beside `stable`, both counted over the same time, in a roll-out's step-th analysis (from 0).

    `alone`: the target takes all traffic and `stable` is of earlier, under other load, so that its times say nothing.
    """
    had, beside = target.traffic.requests, stable.traffic.requests
    if not had:
        return Comparison(Verdict.HOLD, _UNASKED, _UNASKED)
    if beside < LEAST_STABLE:
        tests = list(_absolute(target, allowed))
    else:
        times = iter(()) if alone else _times(target.traffic, stable.traffic, allowed)
        tests = [_errors(target.traffic, stable.traffic, allowed), *times, *_judged(target, stable, allowed)]
        tests += _absolute(target, allowed)
    measures = 1 + len(_HISTOGRAMS) + len(allowed.judges) + len(allowed.limits.model_dump(exclude_none=True))
    findings = _findings(tests, ALPHA / 2 ** (step + 1) / measures)

    def comes_to(verdict: Verdict, brief: str, figures: object) -> Comparison:
        return Comparison(verdict, brief, f"{brief}: {figures}", had, findings)

    worst = max(findings, key=lambda finding: finding.e_value / finding.needed, default=None)
    if worst is not None and worst.e_value >= worst.needed and had >= LEAST_TARGET:
        return comes_to(Verdict.WORSE, "it is worse", worst)
    if worst is not None and worst.e_value >= DOUBT:
        return comes_to(Verdict.HOLD, f"it looks worse in {worst.measure}, which is no proof yet", worst)
    counts = f"{had} requests beside {beside} of the stable version"
    if beside < LEAST_STABLE:
        brief = f"the stable version has less than the {LEAST_STABLE} requests that a comparison needs"
        return comes_to(Verdict.HOLD, brief, counts)
    return comes_to(Verdict.BETTER_OR_EQUAL, "nothing is worse", counts)


def _findings(tests: list[_Test], alpha: float) -> tuple[Finding, ...]:
    """One for each measure, with an error of `alpha` each: the mean of its tests' e-values is an e-value."""
    found: dict[str, list[_Test]] = {}
    for test in tests:
        found.setdefault(test.measure, []).append(test)
    needed = 1 / alpha
    findings = []
    for measure, its in found.items():
        logs = [_log_e_value(test) for test in its]
        e_value = float(np.mean(np.exp(np.minimum(logs, _LARGEST_LOG))))
        findings.append(Finding(measure, e_value, needed, its[0].observed))
    return tuple(findings)


def _log_e_value(test: _Test) -> float:
    """Where even the stable arm's observed mean, taken for true, gives no doubt, the rest is not worked out."""
    if test.stable is None:
        return log_e_value(test.target, test.margin)
    at_most = log_e_value(test.target, test.stable.mean + test.margin)
    return at_most if at_most < _LOG_DOUBT else log_e_above(test.target, test.stable, test.margin)


def _errors(target: Traffic, stable: Traffic, allowed: Analysis) -> _Test:
    observed = (
        f"{target.errors} of {target.requests} requests failed ({_percent(target.errors, target.requests)}), "
        f"{stable.errors} of {stable.requests} of the stable version ({_percent(stable.errors, stable.requests)}); "
        f"{100 * allowed.error_rate:g} points more are allowed"
    )
    failed, failed_before = (_bits(one.errors, one.requests) for one in (target, stable))
    return _Test("error_rate", failed, failed_before, allowed.error_rate, observed)


def _times(target: Traffic, stable: Traffic, allowed: Analysis) -> Iterator[_Test]:
    for measure, name in _HISTOGRAMS.items():
        mine, theirs = getattr(target, name), getattr(stable, name)
        if not mine or not theirs:
            continue
        factor = getattr(allowed, measure)
        shift = math.ceil(math.log(factor) / math.log(RATIO) - 1e-9)
        parts = (_streams(target), _streams(stable)) if measure == "itl" else (1.0, 1.0)
        observed = (
            f"p{100 * _SHOWN[measure]:g} {_quantiles(mine, theirs, _SHOWN[measure])}, p{100 * _TAILS[measure]:g} "
            f"{_quantiles(mine, theirs, _TAILS[measure])} over {target.requests} requests; {factor:g} × is allowed"
        )
        indexes, counts = _sorted(theirs)
        total = counts.sum()
        below = np.concatenate(([0.0], np.cumsum(counts))) / total
        edge = int(indexes[np.searchsorted(below[1:], _TAILS[measure])])
        arms = []
        for histogram, less, part in ((mine, shift, parts[0]), (theirs, 0, parts[1])):
            where, often = _sorted(histogram)
            where = where - less
            rank = (below[np.searchsorted(indexes, where)] + below[np.searchsorted(indexes, where, "right")]) / 2
            arms.append((rank, (where > edge).astype(np.float64), often * part))
        (rank, late, often), (their_rank, their_late, their_often) = arms
        yield _Test(measure, Scores(late, often), Scores(their_late, their_often), 0.0, observed)
        if measure != "latency_p99":
            yield _Test(measure, Scores(rank, often), Scores(their_rank, their_often), 0.0, observed)


def _judged(target: Figures, stable: Figures, allowed: Analysis) -> Iterator[_Test]:
    for name in allowed.judges:
        mine, theirs = (_badness(figures.judges.get(name, {})) for figures in (target, stable))
        if mine.total and theirs.total:
            observed = (
                f"mean score {1 - mine.mean:.3f} of {mine.total:g} answers, {1 - theirs.mean:.3f} of {theirs.total:g} "
                f"of the stable version; {allowed.judge_margin:g} less is allowed"
            )
            yield _Test(f"judge {name}", mine, theirs, allowed.judge_margin, observed)


def _absolute(target: Figures, allowed: Analysis) -> Iterator[_Test]:
    for measure, name in _HISTOGRAMS.items():
        limit, histogram = getattr(allowed.limits, f"{measure}_ms"), getattr(target.traffic, name)
        if limit is None or not histogram:
            continue
        edge = math.ceil(math.log(limit) / math.log(RATIO))
        share = 0.05 if measure != "latency_p99" else 0.01
        above, total = sum(count for index, count in histogram.items() if index >= edge), sum(histogram.values())
        part = _streams(target.traffic) if measure == "itl" else 1.0
        observed = f"{_percent(above, total)} of {total} above the limit of {limit:g} ms; {100 * share:g} % are allowed"
        yield _Test(f"limit {measure}", _bits(above * part, total * part), None, share, observed)


def _streams(traffic: Traffic) -> float:
    """How much of a score one of an arm's gaps is."""
    return min(1.0, sum(traffic.ttft_ms.values()) / max(1, sum(traffic.itl_ms.values())))


def _bits(ones: float, total: float) -> Scores:
    return Scores(np.array([0.0, 1.0]), np.array([total - ones, ones], dtype=np.float64))


def _badness(scores: Mapping[int, int]) -> Scores:
    hundredths, counts = _sorted(scores)
    return Scores(np.clip(1 - hundredths / 100, 0.0, 1.0), counts)


def _sorted(histogram: Histogram) -> tuple[Floats, Floats]:
    indexes = sorted(histogram)
    return np.array(indexes, dtype=np.float64), np.array([histogram[index] for index in indexes], dtype=np.float64)


def _percent(part: int, total: int) -> str:
    return f"{100 * part / max(1, total):.3g} %"


def _quantiles(mine: Histogram, theirs: Histogram, q: float) -> str:
    """Both arms' quantile in milliseconds."""
    return f"{quantile(mine, q) or 0.0:.0f} ms beside {quantile(theirs, q) or 0.0:.0f} ms"
