"""The metrics of collections: what each replica of a shard says of itself, and what vectors control made of it. Pure.

A replica has 15 series besides its three histograms. No more than `MOST_REPLICAS` are shown, the first by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from control.kernel.ids import ReplicaName
from control.metrics.metric import Section, counter, gauge, times
from control.metrics.reading import Reading, Shard
from control.metrics.subjects import Labels
from control.vector_report import VectorReport

MOST_REPLICAS = 256
SOURCE = "what each replica of a shard says of itself"
REPLICA = ("collection", "shard", "replica")


def _replicas(reading: Reading) -> Iterator[tuple[Labels, VectorReport]]:
    for actor in sorted(reading.vectors)[:MOST_REPLICAS]:
        name = ReplicaName.parse(actor)
        if name is not None:
            yield (name.collection, str(name.shard), str(name.replica)), reading.vectors[actor]


def _shards(reading: Reading) -> Iterator[tuple[Labels, Shard]]:
    for one in reading.shards:
        yield (one.collection, str(one.number)), one


REPLICAS: Section[VectorReport] = Section(
    SOURCE,
    REPLICA,
    _replicas,
    (
        gauge("biplane_vectors_rows", "Rows that are there.", lambda r: r.rows),
        gauge("biplane_vectors_dead_rows", "Rows deleted or overwritten that segments still have.", lambda r: r.dead),
        gauge("biplane_vectors_growing_rows", "Rows that are in no sealed segment yet.", lambda r: r.growing),
        gauge("biplane_vectors_segments", "Sealed segments.", lambda r: r.segments),
        gauge("biplane_vectors_builds", "Segments that are being built or merged now.", lambda r: r.builds),
        gauge("biplane_vectors_memory_bytes", "Memory that its process takes.", lambda r: r.memory_bytes),
        gauge("biplane_vectors_log_bytes", "Its log on disk.", lambda r: r.log_bytes),
        gauge("biplane_vectors_disk_bytes", "All its files on disk.", lambda r: r.disk_bytes),
        gauge("biplane_vectors_behind_entries", "Entries that it knows of and has not applied.", lambda r: r.behind),
        gauge("biplane_vectors_leads", "1 while it leads its shard.", lambda r: r.leads),
        gauge(
            "biplane_vectors_recall_ratio",
            "Recall@10 of the last sampled searches against exact ones; absent where none was sampled.",
            lambda r: None if r.recall < 0 else r.recall,
        ),
        gauge(
            "biplane_vectors_copied_ratio",
            "Of the rows that it gets from the shards of an earlier layout; absent where it gets none.",
            lambda r: None if r.copied < 0 else r.copied,
        ),
        gauge(
            "biplane_vectors_uncopied_entries",
            "Of the logs of those shards; absent where it gets no rows from others.",
            lambda r: None if r.copied < 0 else r.uncopied,
        ),
        counter("biplane_vectors_searches_total", "Queries that were answered.", lambda r: r.searches),
        counter("biplane_vectors_writes_total", "Writes that were acknowledged.", lambda r: r.writes),
        times("biplane_vectors_search_seconds", "Of a search, with its wait.", lambda r: r.search_ms, -21, 91),
        times("biplane_vectors_scan_seconds", "Of searches that went together, in data.", lambda r: r.scan_ms, -21, 91),
        times("biplane_vectors_write_seconds", "Of a write, until acknowledged.", lambda r: r.write_ms, -14, 91),
    ),
)
SHARDS: Section[Shard] = Section(
    "vectors control",
    ("collection", "shard"),
    _shards,
    (
        gauge("biplane_vectors_epoch", "Grows by each change of the leader or the members.", lambda s: s.epoch),
        gauge("biplane_vectors_members", "Replicas that are members.", lambda s: s.members),
        gauge("biplane_vectors_filled", "0 while it copies rows from the shards before it.", lambda s: s.filled),
        gauge("biplane_vectors_serving", "1 while it has a leader that commits.", lambda s: s.phase == "Serving"),
    ),
)
VECTOR_SECTIONS: tuple[Section[Any], ...] = (REPLICAS, SHARDS)
