"""How an application's traffic went, as every gateway replica counts it and the router's analysis reads it. Pure.

A reading is cumulative since its replica began to count. Readings of several replicas add up; of one replica, the
later less the earlier is what came between. A histogram maps i to how many values lay in [1.1^i, 1.1^(i+1)) ms, so
that a quantile is known to within 5 % whatever the scale, and histograms of any two replicas merge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor, log
from typing import Any

BEAT_PREFIX = "gateway:"
"""What the actor of a gateway replica's heartbeat begins with; the replica's id follows."""
RATIO = 1.1
LEAST_MS = 0.01
"""What is faster counts as this: a bucket for every zero."""
_PER_LOG = 1 / log(RATIO)

Histogram = Mapping[int, int]


def bucket(ms: float) -> int:
    """The bucket that holds `ms` milliseconds."""
    return floor(log(ms if ms > LEAST_MS else LEAST_MS) * _PER_LOG)


def quantile(histogram: Histogram, q: float) -> float | None:
    """The `q` quantile (0 < q <= 1) in milliseconds, None of nothing.

    It is the geometric middle of the nearest rank's bucket: at most 4.9 % off the value of that rank.
    """
    rank, seen = ceil(q * sum(histogram.values())), 0
    for index in sorted(histogram):
        seen += histogram[index]
        if seen >= rank and seen:
            return float(RATIO ** (index + 0.5))
    return None


@dataclass(frozen=True)
class Traffic:
    """Requests that ended; `errors` of them (5xx, broken or late answers, never a client's own 4xx).

    `ttft_ms` is from sending a request to the application to the first chunk of a stream, `itl_ms` between its chunks,
    `latency_ms` to the end of an answer that came whole, a stream or not.
    """

    requests: int = 0
    errors: int = 0
    ttft_ms: Histogram = field(default_factory=dict)
    itl_ms: Histogram = field(default_factory=dict)
    latency_ms: Histogram = field(default_factory=dict)

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.requests + other.requests,
            self.errors + other.errors,
            *(_merged(mine, theirs, 1) for mine, theirs in _histograms(self, other)),
        )

    def __sub__(self, earlier: Traffic) -> Traffic:
        """What came since the `earlier` reading of the same replica.

        A replica that began anew, or forgot the application meanwhile, counts less than before: then all of it came
        since, as with any counter that was reset.
        """
        parts = [_merged(mine, theirs, -1) for mine, theirs in _histograms(self, earlier)]
        requests, errors = self.requests - earlier.requests, self.errors - earlier.errors
        if min(requests, errors, *(least for part in parts for least in part.values())) < 0:
            return self
        return Traffic(requests, errors, *parts)


def parse(body: Mapping[str, Any]) -> dict[str, Traffic]:
    """The traffic by application in a replica's heartbeat. Raises ValueError where that is not what it is."""
    try:
        return {
            str(app): Traffic(
                int(told["requests"]),
                int(told["errors"]),
                *(
                    {int(index): int(count) for index, count in told.get(name, {}).items()}
                    for name in ("ttft_ms", "itl_ms", "latency_ms")
                ),
            )
            for app, told in body["apps"].items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"expected apps with requests, errors and histograms; found {type(error).__name__}: {error}"
        raise ValueError(f"this is no gateway replica's traffic: {reason}") from None


def document(traffic: Mapping[str, Traffic]) -> dict[str, Any]:
    """The body of a replica's heartbeat, as JSON: what `parse` reads."""
    return {
        "apps": {
            app: {
                "requests": one.requests,
                "errors": one.errors,
                "ttft_ms": _keyed(one.ttft_ms),
                "itl_ms": _keyed(one.itl_ms),
                "latency_ms": _keyed(one.latency_ms),
            }
            for app, one in traffic.items()
        }
    }


def _histograms(one: Traffic, other: Traffic) -> tuple[tuple[Histogram, Histogram], ...]:
    return (one.ttft_ms, other.ttft_ms), (one.itl_ms, other.itl_ms), (one.latency_ms, other.latency_ms)


def _merged(one: Histogram, other: Histogram, sign: int) -> dict[int, int]:
    sums = {index: one.get(index, 0) + sign * other.get(index, 0) for index in one.keys() | other.keys()}
    return {index: count for index, count in sums.items() if count}


def _keyed(histogram: Histogram) -> dict[str, int]:
    return {str(index): count for index, count in histogram.items()}
