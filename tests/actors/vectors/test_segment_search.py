"""A filtered search is never short, and as near as can be, whatever the index does and wherever the filter leads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.found import Found, Mask
from actors.vectors.metadata.indexed import IndexedColumns, make_columns
from actors.vectors.query import Tuning
from actors.vectors.scan import scan
from actors.vectors.segment_search import search_segment
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.vector_filter import EVERYTHING, Filter, In, Range
from tests.fakes.vector_index import FakeIndex

ROWS, K = 2_000, 10
VECTORS = np.random.default_rng(7).normal(size=(ROWS, 4)).astype(np.float32)
QUERIES = VECTORS[:3] + np.float32(0.01)
SPEC = CollectionSpec(dimension=4, fields=(MetadataField(name="rank", type="integer"),))


def columns_by(rank: np.ndarray) -> IndexedColumns:
    return make_columns(pa.table({"rank": pa.array(rank, pa.int64())}), SPEC)


def near_to_far() -> np.ndarray:
    """The rank of each row by its distance from the first query."""
    distances = ((VECTORS - QUERIES[0]) ** 2).sum(1)
    return np.argsort(np.argsort(distances))


def search(index: FakeIndex, columns: IndexedColumns, where: Filter, alive: Mask | None = None, k: int = K) -> Found:
    return search_segment(index, alive, columns, QUERIES, k, where, Tuning(), "l2")


RANDOM = np.random.default_rng(8).permutation(ROWS)


@pytest.mark.parametrize("ranks", [RANDOM, near_to_far(), ROWS - 1 - near_to_far()], ids=["random", "near", "far"])
@pytest.mark.parametrize("allowed", [1, 9, 10, 11, 100, 400, 1_000, 1_990, ROWS])
def test_what_is_found_is_the_nearest_that_match(ranks: np.ndarray, allowed: int) -> None:
    index = FakeIndex(VECTORS)
    found = search(index, columns_by(ranks), Range("rank", None, allowed, high_open=True))
    expected = scan(VECTORS, ranks < allowed, QUERIES, K, "l2")
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_allclose(found.scores, expected.scores)


def test_no_row_that_matches_is_no_error() -> None:
    found = search(FakeIndex(VECTORS), columns_by(RANDOM), In("rank", (ROWS,)))
    assert (found.rows == -1).all()
    assert np.isneginf(found.scores).all()


def test_a_deleted_cluster_does_not_leave_a_search_short() -> None:
    alive = near_to_far() >= 500
    found = search(FakeIndex(VECTORS), columns_by(RANDOM), EVERYTHING, alive)
    np.testing.assert_array_equal(found.rows, scan(VECTORS, alive, QUERIES, K, "l2").rows)


def test_an_index_that_does_not_reach_every_row_is_made_up_for() -> None:
    reaches = np.arange(ROWS) < 6
    found = search(FakeIndex(VECTORS, reaches=reaches), columns_by(RANDOM), EVERYTHING)
    np.testing.assert_array_equal(found.rows, scan(VECTORS, None, QUERIES, K, "l2").rows)


def test_few_rows_are_measured_and_many_are_asked_of_the_index() -> None:
    few, many = FakeIndex(VECTORS), FakeIndex(VECTORS)
    search(few, columns_by(RANDOM), Range("rank", None, 20))
    search(many, columns_by(RANDOM), Range("rank", 20))
    assert (few.widths, len(many.widths)) == ([], 1)


def test_exact_is_exact_where_the_index_is_not() -> None:
    index = FakeIndex(VECTORS, reaches=np.arange(ROWS) % 2 == 0)
    found = search_segment(index, None, columns_by(RANDOM), QUERIES, K, EVERYTHING, Tuning(exact=True), "l2")
    np.testing.assert_array_equal(found.rows, scan(VECTORS, None, QUERIES, K, "l2").rows)


def test_more_than_there_are_is_all_that_there_are() -> None:
    found = search(FakeIndex(VECTORS), columns_by(RANDOM), EVERYTHING, k=ROWS + 5)
    assert (np.sort(found.rows[:, :ROWS], axis=1) == np.arange(ROWS)).all()
    assert (found.rows[:, ROWS:] == -1).all()
