"""Whatever the rows and the filter: indexes, scans and a plain model of Python say the same, within the bounds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.vectors.metadata.indexed import make_columns
from actors.vectors.metadata.unindexed import scan_mask
from actors.vectors.rows import ARROW_TYPES
from control.specs.collection import CollectionSpec, FieldType, MetadataField
from control.specs.vector_filter import And, Exists, Filter, GeoBox, In, Not, Or, Range, Value, Words

SIMPLE: tuple[FieldType, ...] = ("keyword", "integer", "float", "boolean", "datetime")
NAMES = tuple((f"{kind}{'s' if many else ''}", kind, many) for kind in SIMPLE for many in (False, True))
FIELDS = (*NAMES, ("geo", "geo", False), ("text", "text", False))
WORDS = ("rot", "Rote", "ÄHRE", "ähre", "grün-blau", "1968")

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "keyword": st.sampled_from(("", "a", "b", "ab", "Ä")),
    "integer": st.sampled_from((-(2**63), -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 1)),
    "float": st.sampled_from((-1.5, -0.0, 0.0, 0.25, 1e300, float("inf"))),
    "boolean": st.booleans(),
    "datetime": st.sampled_from((-1, 0, 1, 1_700_000_000_000_000)),
    "geo": st.fixed_dictionaries(
        {"lat": st.sampled_from((-90.0, 0.0, 10.0)), "lon": st.sampled_from((-180.0, 5.0, 179.0))}
    ),
    "text": st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stored(kind: str, many: bool) -> st.SearchStrategy[Any]:
    one = VALUES[kind]
    if kind == "datetime":
        one = one.map(lambda value: EPOCH + timedelta(microseconds=value))
    if kind == "float":
        one = one | st.just(float("nan"))
    return st.none() | (st.lists(one | st.none(), max_size=3) if many else one)


ROWS = st.lists(st.fixed_dictionaries({name: stored(kind, many) for name, kind, many in FIELDS}), max_size=12)


def ranges(name: str, kind: str) -> st.SearchStrategy[Filter]:
    bound = st.none() | VALUES[kind]
    return st.builds(Range, st.just(name), bound, bound, st.booleans(), st.booleans())


def conditions() -> st.SearchStrategy[Filter]:
    made: list[st.SearchStrategy[Filter]] = [st.sampled_from([name for name, _, _ in FIELDS]).map(Exists)]
    for name, kind, _ in NAMES:
        made.append(st.builds(In, st.just(name), st.lists(VALUES[kind], max_size=3).map(tuple)))
        if kind not in ("keyword", "boolean"):
            made.append(ranges(name, kind))
    made.append(st.builds(Words, st.just("text"), st.lists(st.sampled_from(WORDS), max_size=2).map(tuple)))
    lat, lon = st.sampled_from((-90.0, 0.0, 10.0, 90.0)), st.sampled_from((-180.0, 5.0, 100.0, 180.0))
    made.append(st.builds(GeoBox, st.just("geo"), lat, lon, lat, lon))
    return st.one_of(made)


def combined(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    some = st.lists(parts, max_size=3).map(tuple)
    return st.builds(And, some) | st.builds(Or, some) | st.builds(Not, parts)


FILTERS = st.recursive(conditions(), combined, max_leaves=5)


def matches(row: dict[str, Any], where: Filter) -> bool:
    """What filters mean, one row at a time."""
    match where:
        case And(parts):
            return all(matches(row, part) for part in parts)
        case Or(parts):
            return any(matches(row, part) for part in parts)
        case Not(part):
            return not matches(row, part)
        case _ if row[where.field] is None:
            return False
        case Exists():
            return True
        case Words(_, words):
            return split(" ".join(words)) <= split(row["text"])
        case GeoBox(_, south, west, north, east):
            lat, lon = row["geo"]["lat"], row["geo"]["lon"]
            beside = west <= lon <= east if west <= east else (lon >= west or lon <= east)
            return bool(south <= lat <= north and beside)
        case In(field, wanted):
            return any(value in wanted for value in plain(row[field]))
        case Range():
            return any(within(value, where) for value in plain(row[where.field]))


def split(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def plain(found: Any) -> list[Value]:
    values = [
        value for value in (found if isinstance(found, list) else [found]) if value is not None and value == value
    ]
    return [(value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value for value in values]


def within(value: Any, asked: Range) -> bool:
    above = asked.low is None or value > asked.low or (value == asked.low and not asked.low_open)
    return above and (asked.high is None or value < asked.high or (value == asked.high and not asked.high_open))


def table_of(rows: list[dict[str, Any]], cut: int) -> pa.Table:
    types = {kind: ARROW_TYPES[kind] for _, kind, _ in FIELDS}
    schema = pa.schema([(name, pa.list_(types[kind]) if many else types[kind]) for name, kind, many in FIELDS])
    return pa.concat_tables([pa.Table.from_pylist(part, schema) for part in (rows[:cut], rows[cut:])])


@settings(max_examples=150, deadline=None)
@given(ROWS, FILTERS, st.integers(0, 12), st.booleans())
def test_indexes_and_scans_find_the_rows_of_the_model_within_the_bounds(
    rows: list[dict[str, Any]], where: Filter, cut: int, index: bool
) -> None:
    fields = tuple(MetadataField(name=name, type=kind, many=many, index=index) for name, kind, many in FIELDS)
    spec = CollectionSpec(dimension=2, fields=fields)
    table = table_of(rows, cut)
    expected = np.array([matches(row, where) for row in rows], np.bool_)
    columns = make_columns(table, spec)
    low, high = columns.bounds(where)
    np.testing.assert_array_equal(scan_mask(table, where, spec), expected)
    np.testing.assert_array_equal(columns.mask(where), expected)
    assert low <= expected.sum() <= high
