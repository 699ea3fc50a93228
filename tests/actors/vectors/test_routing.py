import numpy as np
import pyarrow as pa

from actors.vectors.routing import shard_of

INTEGERS = [7, 4, 4, 7, 0]
STRINGS = [5, 1, 3, 6]


def test_an_id_stays_in_its_shard_for_ever() -> None:
    """What is stored depends on these numbers: they must never change."""
    assert shard_of(pa.array([0, 1, 2, -1, 2**62]), 8).tolist() == INTEGERS
    assert shard_of(pa.array(["", "a", "b", "été"]), 8).tolist() == STRINGS


def test_ids_spread_evenly() -> None:
    for ids in (pa.array(np.arange(8000)), pa.array([f"doc-{number}" for number in range(8000)])):
        counts = np.bincount(shard_of(ids, 8), minlength=8)
        assert counts.min() > 850
        assert counts.max() < 1150


def test_twice_as_many_shards_cut_each_in_two() -> None:
    ids = pa.array(np.arange(1000))
    assert (shard_of(ids, 8) // 2 == shard_of(ids, 4)).all()
