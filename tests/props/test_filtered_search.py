"""Whatever an index reaches, a filter allows and was deleted: nothing forbidden, nothing twice, never too few."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.vectors.metadata.indexed import make_columns
from actors.vectors.query import Tuning
from actors.vectors.scan import scan
from actors.vectors.segment_search import search_segment
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.vector_filter import Range
from control.specs.vector_index import IndexKind
from tests.fakes.vector_index import FakeIndex

SPEC = CollectionSpec(dimension=2, fields=(MetadataField(name="rank", type="integer"),))
KINDS: tuple[IndexKind, ...] = ("flat", "hnsw", "ivf_flat")


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(0, 300),
    queries=st.integers(1, 20),
    k=st.integers(1, 40),
    alive=st.sampled_from((None, 0.0, 0.3, 0.95, 1.0)),
    share=st.floats(0, 1),
    reach=st.sampled_from((0.0, 0.5, 1.0)),
    candidates=st.sampled_from((0.01, 2.0, 100.0)),
    kind=st.sampled_from(KINDS),
    near=st.booleans(),
)
def test_a_filtered_search_is_complete_and_right(
    seed: int,
    rows: int,
    queries: int,
    k: int,
    alive: float | None,
    share: float,
    reach: float,
    candidates: float,
    kind: IndexKind,
    near: bool,
) -> None:
    random = np.random.default_rng(seed)
    vectors = random.integers(-5, 6, (rows, 2)).astype(np.float32)
    asked = random.integers(-5, 6, (queries, 2)).astype(np.float32)
    ranks = np.argsort(np.argsort(((vectors - asked[0]) ** 2).sum(1))) if near else random.permutation(rows)
    where = Range("rank", None, int(share * rows), high_open=True)
    living = None if alive is None else random.random(rows) < alive
    index = FakeIndex(vectors, kind, random.random(rows) < reach, candidates)
    columns = make_columns(pa.table({"rank": pa.array(ranks, pa.int64())}), SPEC)

    found = search_segment(index, living, columns, asked, k, where, Tuning(), "l2")

    allowed = ranks < int(share * rows)
    allowed &= True if living is None else living
    assert found.rows.shape == found.scores.shape == (queries, k)
    for numbers, scores in zip(found.rows, found.scores, strict=True):
        real = numbers[numbers >= 0]
        assert len(real) == len(set(real.tolist())) == min(k, allowed.sum())
        assert allowed[real].all()
        assert (np.diff(scores[: len(real)]) <= 0).all()
    if reach == 1.0:
        np.testing.assert_array_equal(found.scores, scan(vectors, allowed, asked, k, "l2").scores)
