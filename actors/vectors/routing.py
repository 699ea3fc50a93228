"""Which shard has an id. Pure, and the same in every process and release: what is stored depends on it.

Ids are hashed to 64 bits, and each of n shards has the n-th part of that range: with twice as many shards each is cut
in two.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def shard_of(ids: pa.Array, shards: int) -> NDArray[np.int64]:
    """(n,) numbers of shards, from 0."""
    if shards == 1:
        return np.zeros(len(ids), np.int64)
    high = _hashes(ids) >> np.uint64(32)
    return (high * np.uint64(shards) >> np.uint64(32)).astype(np.int64)


def shard_and_replica(actor: str) -> tuple[int, int]:
    """The numbers in the name of a replica's actor: `vectors:<collection>:<life>:<shard>:<replica>`."""
    *_, shard, replica = actor.split(":")
    return int(shard), int(replica)


def _hashes(ids: pa.Array) -> NDArray[np.uint64]:
    if pa.types.is_integer(ids.type):
        return _mixed(ids.to_numpy(zero_copy_only=False).astype(np.uint64))
    digests = b"".join(hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids.to_pylist())
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
