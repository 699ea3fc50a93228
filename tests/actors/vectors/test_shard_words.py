"""Words are found wherever their rows are: growing, sealed, merged, after a restart, and nowhere once they are dead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.changes import of_ids, to_bytes
from actors.vectors.entry import Entry, Kind
from actors.vectors.query import Level, TextQuery
from actors.vectors.rows import row_schema, vector_column
from actors.vectors.shard import Shard
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import Range

SPEC = CollectionSpec.model_validate(
    {
        "dimension": 2,
        "ids": "integer",
        "fields": [
            {"name": "body", "type": "text"},
            {"name": "title", "type": "text"},
            {"name": "year", "type": "integer"},
        ],
    }
)


def write(shard: Shard, ids: list[int], texts: list[str]) -> None:
    columns = [pa.array(ids), vector_column(np.ones((len(ids), 2), np.float32)), pa.array(texts)]
    titles, years = pa.array([None] * len(ids), pa.string()), pa.array([2000 + one for one in ids])
    batch = pa.RecordBatch.from_arrays([*columns, titles, years], schema=row_schema(SPEC))
    shard.apply([Entry(1, shard.applied.seq + 1, Kind.UPSERT, to_bytes(batch))])


def found(shard: Shard, text: str, **asked: object) -> list[int]:
    query = TextQuery(text, ("body", "title"), 10, **asked)  # type: ignore[arg-type]
    ids: list[int] = shard.view.search_text(query).ids.to_pylist()
    return ids


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    opened = Shard.open(tmp_path, SPEC)
    write(opened, [1, 2, 3], ["a red apple", "a green apple, red inside, red all over", "a pear"])
    opened.optimise()
    while opened.maintain():
        pass
    write(opened, [4], ["red wine"])
    return opened


def test_rows_in_segments_and_those_that_came_since_are_ranked_together(shard: Shard) -> None:
    assert sorted(found(shard, "red")) == [1, 2, 4]
    assert found(shard, "green apple")[0] == 2
    assert found(shard, "nothing such") == []


def test_only_rows_that_match_and_live_are_found(shard: Shard) -> None:
    assert found(shard, "red", where=Range("year", low=2004)) == [4]
    shard.apply([Entry(1, shard.applied.seq + 1, Kind.DELETE, to_bytes(of_ids(pa.array([1, 4]))))])
    assert found(shard, "red") == [2]


def test_a_row_is_found_by_its_new_words_and_not_by_the_old_ones(shard: Shard) -> None:
    assert 4 in found(shard, "wine")
    write(shard, [4, 1], ["white grapes", "a blue plum"])
    assert found(shard, "wine") == []
    assert found(shard, "plum grapes") in ([4, 1], [1, 4])
    assert found(shard, "red") == [2]


def test_who_does_not_wait_for_new_rows_sees_the_sealed_ones(shard: Shard) -> None:
    assert sorted(found(shard, "red", level=Level.INDEXED)) == [1, 2]


def test_columns_come_with_the_hits(shard: Shard) -> None:
    hits = shard.view.search_text(TextQuery("pear", ("body",), 1, columns=("body", "year")))
    assert hits.rows is not None
    assert hits.rows.to_pylist() == [{"body": "a pear", "year": 2003}]
    assert hits.counts.tolist() == [1]


def test_words_are_found_after_a_restart(shard: Shard, tmp_path: Path) -> None:
    shard.flush()
    shard.close()
    assert sorted(found(Shard.open(tmp_path, SPEC), "red")) == [1, 2, 4]
