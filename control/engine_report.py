"""What a replica's engine says of itself, about twice a second, as a heartbeat in the plane's store. Pure.

It is how the gateway finds the replica, how the autoscaler sees its queue and cache, and what the metrics show.
Counters and histograms are cumulative since the replica began; a histogram is one of `control.traffic`: it maps i to
how many values lay in [1.1^i, 1.1^(i+1)) ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

BEAT_PREFIX = "engine:"
"""What the actor of an engine's heartbeat begins with; the application's name follows."""
BEAT_SECONDS = 0.5
STALE_SECONDS = 3.0
"""A replica that has said nothing for so long is taken for gone wherever another one can answer."""
HISTOGRAMS = ("queue_ms", "prefill_ms", "decode_ms", "tokenize_ms")


@dataclass(frozen=True)
class EngineReport:
    """`url` is the replica's own HTTP server, without `/v1`. `accepts` is False while it drains or is stuck.

    `running` and `waiting` are requests now, `kv_usage` the part of the KV cache that is in use (0 to 1),
    `kv_tokens` how many tokens that cache holds, `most_running` how many requests run at once at most. `requests`
    counts those that finished, `prefix_queries` and `prefix_hits` prompt tokens looked up and found in the prefix
    cache. `started_s` has how many seconds each part of the start took, by its name. `trouble` says what is wrong.
    """

    url: str
    pid: int = 0
    accepts: bool = True
    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0
    kv_tokens: int = 0
    most_running: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0
    queue_ms: Mapping[int, int] = field(default_factory=dict)
    prefill_ms: Mapping[int, int] = field(default_factory=dict)
    decode_ms: Mapping[int, int] = field(default_factory=dict)
    tokenize_ms: Mapping[int, int] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    started_s: Mapping[str, float] = field(default_factory=dict)
    trouble: str = ""

    @property
    def busy(self) -> int:
        """Requests that it has."""
        return self.running + self.waiting


def document(report: EngineReport) -> dict[str, Any]:
    """The body of the heartbeat, as JSON: what `parse` reads."""
    told = asdict(report)
    for name in HISTOGRAMS:
        told[name] = {str(index): count for index, count in told[name].items()}
    return told


def parse(body: Mapping[str, Any]) -> EngineReport:
    """The report in a heartbeat; names that a newer Biplane wrote are left out. Raises ValueError where it is none."""
    try:
        told = {one.name: body[one.name] for one in fields(EngineReport) if one.name in body}
        for name in HISTOGRAMS:
            told[name] = {int(index): int(count) for index, count in told.get(name, {}).items()}
        return EngineReport(**{**told, "adapters": tuple(told.get("adapters", ()))})
    except (TypeError, AttributeError, ValueError) as error:
        expected = "expected the url of a replica and its figures"
        raise ValueError(f"this is no engine's report: {expected}; found {type(error).__name__}: {error}") from None
