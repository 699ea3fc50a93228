"""What a replica of a shard says of itself, about once a second, as a heartbeat in the plane's store. Pure.

It is what `biplane vectors describe` and the metrics show, and by what the next replica's memory is guessed. Counters
and histograms are cumulative since the process began; a histogram is one of `control.traffic`: it maps i to how many
values lay in [1.1^i, 1.1^(i+1)) ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

BEAT_PREFIX = "vectors:"
"""What a replica's heartbeat begins with, and the name of its actor too."""
BEAT_SECONDS = 1.0
STALE_SECONDS = 5.0
"""What was said longer ago says nothing of now."""
HISTOGRAMS = ("search_ms", "scan_ms", "write_ms")


@dataclass(frozen=True)
class VectorReport:
    """`rows` are alive, `dead` are deleted or overwritten and still in segments, `growing` are in none yet, of `rows`.

    `segments` are sealed, `builds` of them being built or merged now. `memory_bytes` is what the process takes,
    `log_bytes` and `disk_bytes` what is on its disk. `searches` counts queries, `writes` calls that wrote something and
    were acknowledged. A search takes `search_ms` in all, those that went together `scan_ms` in the shard's data; a
    write takes `write_ms` until it is acknowledged. `recall` is recall@10 against exact search of the last sampled
    queries, -1 where none was sampled. `behind` is how many entries a replica has not applied of those it knows of.
    A leader that gets rows from the shards of an earlier layout has `copied` so much of them, 0 to 1 (-1: it gets
    none), and lacks `uncopied` entries of their logs.
    """

    rows: int = 0
    dead: int = 0
    growing: int = 0
    segments: int = 0
    builds: int = 0
    memory_bytes: int = 0
    log_bytes: int = 0
    disk_bytes: int = 0
    searches: int = 0
    writes: int = 0
    behind: int = 0
    leads: bool = False
    recall: float = -1.0
    copied: float = -1.0
    uncopied: int = 0
    search_ms: Mapping[int, int] = field(default_factory=dict)
    scan_ms: Mapping[int, int] = field(default_factory=dict)
    write_ms: Mapping[int, int] = field(default_factory=dict)


def document(report: VectorReport) -> dict[str, Any]:
    """The body of the heartbeat, as JSON: what `parse` reads."""
    told = asdict(report)
    for name in HISTOGRAMS:
        told[name] = {str(index): count for index, count in told[name].items()}
    return told


def parse(body: Mapping[str, Any]) -> VectorReport:
    """The report in a heartbeat; names that a newer Biplane wrote are left out. Raises ValueError where it is none."""
    try:
        told = {one.name: body[one.name] for one in fields(VectorReport) if one.name in body}
        for name in HISTOGRAMS:
            told[name] = {int(index): int(count) for index, count in told.get(name, {}).items()}
        return VectorReport(**told)
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"this is no report of a replica: {type(error).__name__}: {error}") from None
