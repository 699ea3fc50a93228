"""What applying a collection would do. Pure."""

from __future__ import annotations

from collections.abc import Callable

from control.specs.collection import Collection, CollectionSpec, MetadataField
from control.specs.index_choice import choose
from control.specs.line import Line
from control.vectors.memory import bytes_for, device_bytes_for
from control.vectors.placement import GIB

ROWS = (1_000, 100_000, 1_000_000)
"""Of a segment, or of a shard, for which it is said what they come to."""


def preview(collection: Collection) -> list[Line]:
    spec = collection.spec
    facts = (
        f"{spec.dimension} dimensions, {spec.metric}",
        f"ids are {spec.ids}s",
        f"{spec.shards} shards × {spec.replicas} replicas = {spec.shards * spec.replicas} processes",
        f"acknowledged by {spec.acknowledge}",
    )
    fields = [Line("field", one.name, _field(one)) for one in spec.fields]
    return [
        Line("collection", collection.name, facts),
        *fields,
        Line("memory", "each replica", ("of the host", *_memory(spec, bytes_for))),
        *_device(spec),
        *(Line("index", f"segment of {rows:,}", _index(spec, rows)) for rows in ROWS),
        *([Line("embedding", spec.embedding.model, (f"of field {spec.embedding.field}",))] if spec.embedding else []),
    ]


def _memory(spec: CollectionSpec, of: Callable[[CollectionSpec, int], int]) -> list[str]:
    return [f"{of(spec, rows) / GIB:.1f} GiB with {rows:,} rows" for rows in ROWS[1:]]


def _device(spec: CollectionSpec) -> list[Line]:
    if spec.index.device == "cpu":
        return []
    return [Line("memory", "its GPU", ("through the scheduler", *_memory(spec, device_bytes_for)))]


def _field(field: MetadataField) -> tuple[str, ...]:
    return (
        f"many of type {field.type}" if field.many else field.type,
        "filtered by an index" if field.index else "filters on it read every row",
    )


def _index(spec: CollectionSpec, rows: int) -> tuple[str, ...]:
    chosen = choose(rows, spec)
    return tuple(fact for fact in (chosen.kind, chosen.reason) if fact)
