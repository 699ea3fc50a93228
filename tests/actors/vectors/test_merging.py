import numpy as np
import pyarrow as pa

from actors.vectors.merging import first_by_id, in_order, merge_hits
from actors.vectors.query import Hits


def _hits(*answers: list[tuple[int, float]], seq: int = 1) -> Hits:
    flat = [hit for answer in answers for hit in answer]
    ids = pa.array([one for one, _ in flat], pa.int64())
    rows = pa.record_batch({"year": pa.array([one * 10 for one, _ in flat], pa.int64())})
    scores = np.array([score for _, score in flat], np.float32)
    return Hits(np.array([len(answer) for answer in answers], np.int32), ids, scores, rows, seq)


A = _hits([(1, 0.9), (2, 0.5)], [(3, 0.8)], seq=5)
B = _hits([(4, 0.7)], [(5, 0.9), (6, 0.1)], seq=3)


def test_each_query_gets_the_nearest_of_all_shards_with_their_rows() -> None:
    merged = merge_hits([A, B], 2)
    assert merged.counts.tolist() == [2, 2]
    assert merged.ids.to_pylist() == [1, 4, 5, 3]
    assert merged.rows is not None
    assert merged.rows.column("year").to_pylist() == [10, 40, 50, 30]
    assert merged.seq == 3


def test_an_offset_leaves_out_the_nearest_of_each_query() -> None:
    merged = merge_hits([A, B], 2, offset=2)
    assert merged.counts.tolist() == [1, 1]
    assert merged.ids.to_pylist() == [2, 6]
    assert merge_hits([A], 1, offset=1).ids.to_pylist() == [2]


def test_rows_come_in_the_order_asked_or_of_their_ids() -> None:
    batches = [pa.record_batch({"id": pa.array(ids)}) for ids in ([5, 1], [3])]
    assert in_order(batches, pa.array([3, 9, 5])).column("id").to_pylist() == [3, 5]
    assert first_by_id(batches, 2).column("id").to_pylist() == [1, 3]
