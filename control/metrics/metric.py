"""What a metric is, and a section of metrics about the same things. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from control.metrics.histogram import bounds
from control.metrics.reading import Reading
from control.metrics.subjects import Labels
from control.traffic import Histogram

T = TypeVar("T")


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is put behind a metric's name in the names of its series."""
        return ("_bucket", "_count", "_sum") if self is Kind.HISTOGRAM else ("",)


@dataclass(frozen=True)
class Metric(Generic[T]):
    """`value` is a number, a histogram where there are `edges` (powers of 1.1 ms), None where nothing is known."""

    name: str
    kind: Kind
    meaning: str
    value: Callable[[T], float | Histogram | None]
    edges: tuple[int, ...] = ()

    @property
    def help(self) -> str:
        estimated = " The sum is estimated from the middles of buckets a tenth wide: at most 4.9 % off."
        return self.meaning + (estimated if self.kind is Kind.HISTOGRAM else "")


@dataclass(frozen=True)
class Section(Generic[T]):
    """Metrics of the same things: `subjects` gives the values of the labels of each, and what it is."""

    source: str
    labels: tuple[str, ...]
    subjects: Callable[[Reading], Iterable[tuple[Labels, T]]]
    metrics: tuple[Metric[T], ...]


def counter(name: str, meaning: str, value: Callable[[T], float | None]) -> Metric[T]:
    return Metric(name, Kind.COUNTER, meaning, value)


def gauge(name: str, meaning: str, value: Callable[[T], float | None]) -> Metric[T]:
    return Metric(name, Kind.GAUGE, meaning, value)


def times(name: str, meaning: str, value: Callable[[T], Histogram], first: int, last: int) -> Metric[T]:
    """A histogram of times from 1.1^first to 1.1^last milliseconds."""
    return Metric(name, Kind.HISTOGRAM, meaning, value, bounds(first, last))
