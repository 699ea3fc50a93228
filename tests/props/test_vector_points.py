"""Whatever fits a collection comes back as it was written: points of JSON, as rows, as JSON again, and as Arrow too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.vectors.rows import row_schema, vectors_of
from control.specs.collection import CollectionSpec, FieldType, MetadataField
from serve_apps.gateway.errors import ApiError
from serve_apps.vectors.answers import encoded, rows_of
from serve_apps.vectors.arrow_batch import read_arrow, whole
from serve_apps.vectors.batch import batch_of, measured
from serve_apps.vectors.bodies import Point, Upsert

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS = st.integers(-(10**15), 10**15).map(lambda one: EPOCH + timedelta(microseconds=one))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    "keyword": TEXTS,
    "text": TEXTS,
    "integer": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "datetime": INSTANTS.map(lambda one: one.isoformat().replace("+00:00", "Z")),
    "geo": st.fixed_dictionaries({"lat": st.floats(-90, 90), "lon": st.floats(-180, 180)}),
}
FIELDS = [(kind, False) for kind in VALUES] + [(kind, True) for kind in VALUES if kind not in ("geo", "text")]
SCHEMA = tuple(MetadataField(name=f"{kind}{'s' * many}", type=kind, many=many) for kind, many in FIELDS)
SPECS: dict[tuple[str, str], CollectionSpec] = {
    (ids, metric): CollectionSpec.model_validate({"dimension": 3, "metric": metric, "ids": ids, "fields": SCHEMA})
    for ids in ("integer", "string")
    for metric in ("l2", "ip", "cosine")
}
METADATA = st.fixed_dictionaries(
    {},
    optional={
        f"{kind}{'s' * many}": st.lists(VALUES[kind], max_size=3) if many else VALUES[kind] for kind, many in FIELDS
    },
)
NUMBERS = st.floats(-(2.0**55), 2.0**55, width=32, allow_subnormal=False)
VECTORS = st.lists(NUMBERS, min_size=3, max_size=3).filter(any)


def points(ids: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    kind = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3) if ids == "integer" else TEXTS
    one = st.fixed_dictionaries({"id": kind, "vector": VECTORS, "metadata": METADATA})
    return st.lists(one, min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(SPECS)))
def test_points_come_back_as_they_were_written(data: st.DataObject, which: tuple[str, str]) -> None:
    spec = SPECS[which]
    told = data.draw(points(spec.ids))
    body = msgspec.json.decode(json.dumps({"points": told}).encode(), type=Upsert)
    vectors = measured([point.vector for point in body.points], spec, str)  # type: ignore[misc]
    batch = batch_of(body.points, vectors, spec)
    batch.rows.validate(full=True)
    last = {point["id"]: point for point in told}
    found = json.loads(encoded(rows_of(batch.rows, ("metadata", "vector"))))
    assert {one["id"]: _parsed(one["metadata"]) for one in found} == {
        one: _parsed(point["metadata"]) for one, point in last.items()
    }
    assert len(found) == len(last)
    assert set(batch.duplicates) == {one for one in last if sum(point["id"] == one for point in told) > 1}
    for one in found:
        wanted = np.array(last[one["id"]]["vector"], np.float64)
        scale = float(np.linalg.norm(wanted)) if spec.metric == "cosine" else 1.0
        assert np.allclose(np.array(one["vector"]) * scale, wanted, rtol=1e-5, atol=1e-6 * scale)
    columns = read_arrow(_stream(batch.rows), spec)
    assert columns.vectors is not None
    again = whole(columns, columns.vectors, spec)
    assert again.rows.drop_columns("vector").equals(batch.rows.drop_columns("vector"))
    np.testing.assert_allclose(vectors_of(again.rows), vectors_of(batch.rows), rtol=1e-6)


def _parsed(metadata: dict[str, Any]) -> dict[str, Any]:
    """Instants may be written in more than one way."""
    found = dict(metadata)
    for name in ("datetime", "datetimes"):
        if name in found:
            several = found[name] if isinstance(found[name], list) else [found[name]]
            found[name] = [datetime.fromisoformat(one) for one in several]
    return found


def _stream(rows: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write(rows)
    body: bytes = sink.getvalue().to_pybytes()
    return body


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([f"{kind}{'s' * many}" for kind, many in FIELDS]), ANYTHING)
def test_whatever_a_field_is_told_it_is_taken_or_refused_in_words(field: str, value: Any) -> None:
    spec = SPECS["string", "l2"]
    points = [Point(id="a", metadata={field: value})]
    refused = ""
    try:
        batch = batch_of(points, np.ones((1, 3), np.float32), spec)
    except ApiError as error:
        refused = error.message
    else:
        batch.rows.validate(full=True)
        assert batch.rows.schema == row_schema(spec)
    assert refused.startswith(f"points[0].metadata.{field}" if refused else "")
