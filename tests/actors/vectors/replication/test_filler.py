"""What was written while rows were copied, as it comes to the shard that copies them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from actors.vectors.changes import from_bytes
from actors.vectors.entry import Entry, Kind
from actors.vectors.replication.filler import folded
from actors.vectors.routing import shard_of
from actors.vectors.rows import UnknownField, row_schema
from control.specs.collection import MetadataField
from tests.fakes.vector_rows import Row, batch_of, body_of, delete, spec_of, upsert

SPEC = spec_of()
WIDER = SPEC.model_copy(update={"fields": (MetadataField(name="stars", type="integer"), *SPEC.fields)})


def row(year: int) -> Row:
    return [float(year), 0.0, 0.0], year, None


def starred(seq: int, number: int) -> Entry:
    batch = batch_of(SPEC, [(number, row(1))])
    return Entry(1, seq, Kind.UPSERT, body_of(batch.append_column("stars", pa.array([9], pa.int64()))))


def test_the_last_that_happened_to_an_id_counts_and_other_parts_are_left_out() -> None:
    entries = [
        upsert(SPEC, 1, [(one, row(1)) for one in range(40)]),
        Entry(1, 2, Kind.LEAD, b""),
        delete(SPEC, 3, [3, 4, 5]),
        upsert(SPEC, 4, [(4, row(2)), (6, row(2)), (6, row(3))]),
        delete(SPEC, 5, [7, 6]),
    ]
    mine = {one for one in range(40) if shard_of(pa.array([one]), 2)[0] == 1}
    told = {kind: from_bytes(body) for kind, body in folded(entries, 1, 2, row_schema(SPEC))}
    upserted = dict(zip(*(told[Kind.UPSERT].column(name).to_pylist() for name in ("id", "year")), strict=True))
    assert upserted == {one: 2 if one == 4 else 1 for one in mine - {3, 5, 6, 7}}
    assert set(told[Kind.DELETE].column("id").to_pylist()) == {3, 5, 6, 7} & mine


def test_rows_from_before_and_after_a_field_came_are_one_write() -> None:
    entries = [upsert(SPEC, 1, [(1, row(1)), (2, row(1))]), starred(2, 1), upsert(SPEC, 3, [(3, row(1))])]
    ((kind, body),) = folded(entries, 0, 1, row_schema(WIDER))
    rows = {one["id"]: one["stars"] for one in from_bytes(body).to_pylist()}
    assert (kind, rows) == (Kind.UPSERT, {1: 9, 2: None, 3: None})
    with pytest.raises(UnknownField):
        folded(entries, 0, 1, row_schema(SPEC))
