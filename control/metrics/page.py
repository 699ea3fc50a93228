"""The whole plane as Prometheus metrics, from what is in the store: any gateway replica can answer for all of it.

Nobody but the store is asked, so that a scrape disturbs no engine and no device and works with every control actor
dead. Nothing is kept between two scrapes.

The text is put together here and not by prometheus_client, which takes more than ten times as long: a gateway shares
its interpreter with the requests in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from control.data_plane import store
from control.kernel.clock import system_clock
from control.metrics.catalogue import SECTIONS
from control.metrics.histogram import cumulative, estimated_sum
from control.metrics.metric import Kind, Metric, Section
from control.metrics.reading import KINDS, Reading, reading_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render() -> bytes:
    """All metrics in Prometheus' text format (`CONTENT_TYPE`). Blocks for the store: call it in a thread.

    Raises StoreError where the store is away.
    """
    stored = store()
    return text(reading_of(stored.list(*KINDS), stored.heartbeats(), system_clock()))


def text(reading: Reading) -> bytes:
    return "".join(line for section in SECTIONS for line in _section(section, reading)).encode()


def _section(section: Section[Any], reading: Reading) -> Iterator[str]:
    subjects = [(_labels(section.labels, labels), one) for labels, one in section.subjects(reading)]
    for metric in section.metrics:
        yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind.value}\n"
        for labels, one in subjects:
            if (value := metric.value(one)) is not None:
                yield _WRITERS[metric.kind](metric, labels, value)


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True))


def _plain(metric: Metric[Any], labels: str, value: float) -> str:
    return f"{metric.name}{{{labels}}} {_number(value)}\n"


def _histogram(metric: Metric[Any], labels: str, value: Mapping[int, int]) -> str:
    name = metric.name
    counts = cumulative(value, metric.edges)
    buckets = "".join(f'{name}_bucket{{{labels},le="{bound}"}} {count}\n' for bound, count in counts)
    return f"{buckets}{name}_sum{{{labels}}} {estimated_sum(value)!r}\n{name}_count{{{labels}}} {counts[-1][1]}\n"


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(float(value))


_WRITERS: dict[Kind, Callable[[Metric[Any], str, Any], str]] = {
    Kind.COUNTER: _plain,
    Kind.GAUGE: _plain,
    Kind.HISTOGRAM: _histogram,
}
