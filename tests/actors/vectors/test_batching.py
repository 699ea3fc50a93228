import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.batching import kind_of, split, together
from actors.vectors.query import Hits, Query, Tuning


def query(*values: float, k: int = 2, token: int = 0, tuning: Tuning | None = None) -> Query:
    vectors = np.array([[value, value] for value in values], np.float32)
    return Query(vectors, k, tuning=tuning or Tuning(), token=token)


def test_queries_together_have_all_vectors_and_wait_for_the_latest_token() -> None:
    one = together([query(1, token=3), query(2, 3, token=7)])
    assert one.vectors[:, 0].tolist() == [1, 2, 3]
    assert one.token == 7


@pytest.mark.parametrize("other", [query(1, k=3), query(1, tuning=Tuning(ef_search=9))])
def test_what_another_search_would_answer_is_of_another_kind(other: Query) -> None:
    assert kind_of(query(1)) == kind_of(query(2, 3, token=9))
    assert kind_of(query(1)) != kind_of(other)


def test_each_query_gets_its_own_hits_back() -> None:
    rows = pa.record_batch({"year": pa.array([10, 20, 30, 40])})
    hits = Hits(np.array([2, 0, 2], np.int32), pa.array([1, 2, 3, 4]), np.arange(4, dtype=np.float32), rows, 5)
    first, second = split(hits, [2, 1])
    assert (first.counts.tolist(), first.ids.to_pylist()) == ([2, 0], [1, 2])
    assert (second.counts.tolist(), second.ids.to_pylist(), second.scores.tolist()) == ([2], [3, 4], [2.0, 3.0])
    assert second.rows is not None
    assert second.rows.column("year").to_pylist() == [30, 40]
    assert second.seq == 5
