"""Entries are bounded in time, number and bytes, and no tenant finds or pushes out another's."""

from __future__ import annotations

import numpy as np

from serve_apps.gateway.cache.entries import DIMENSIONS, Entries, Entry, Vector


def _entry(key: bytes, space: str = "a", body: bytes = b"x", until: float = 100.0) -> Entry:
    return Entry(space, key, space.encode(), "text", body, 0, 0.0, until)


def _vector(index: int) -> Vector:
    vector: Vector = np.eye(DIMENSIONS, dtype=np.float32)[index]
    return vector


def test_what_is_too_old_is_not_found_and_takes_no_place() -> None:
    entries = Entries(1 << 20)
    entries.put(_entry(b"1", until=10.0), _vector(0), 9)
    assert entries.get("a", b"1", 9.9) is not None
    assert list(entries.nearest(b"a", _vector(0), 0.5, 10.0)) == []
    assert entries.get("a", b"1", 10.0) is None
    assert (len(entries), entries.size) == (0, 0)


def test_the_one_used_longest_ago_goes_first() -> None:
    entries = Entries(1 << 20)
    for key in (b"1", b"2"):
        entries.put(_entry(key), _vector(key[0]), 2)
    assert entries.get("a", b"1", 0.0)
    entries.put(_entry(b"3"), _vector(3), 2)
    assert [entries.get("a", key, 0.0) is not None for key in (b"1", b"2", b"3")] == [True, False, True]
    assert list(entries.nearest(b"a", _vector(b"2"[0]), 0.5, 0.0)) == []


def test_a_tenant_that_floods_pushes_out_its_own() -> None:
    entries = Entries(100_000)
    entries.put(_entry(b"1", "quiet"), _vector(0), 1000)
    for number in range(500):
        entries.put(_entry(str(number).encode(), "loud", b"x" * 1000), _vector(number % DIMENSIONS), 1000)
        assert entries.size <= 100_000
    assert entries.get("quiet", b"1", 0.0) is not None
    assert entries.get("loud", b"1", 0.0) is None


def test_nearest_first_and_never_from_elsewhere() -> None:
    entries = Entries(1 << 20)
    near: Vector = np.float32(0.8) * _vector(0) + np.float32(0.6) * _vector(1)
    entries.put(_entry(b"far"), _vector(1), 9)
    entries.put(_entry(b"near"), near, 9)
    entries.put(_entry(b"same", "b"), _vector(0), 9)
    assert [entry.key for entry, _ in entries.nearest(b"a", _vector(0), 0.1, 0.0)] == [b"near"]


def test_put_again_takes_the_place_of_the_first() -> None:
    entries = Entries(1 << 20)
    for body in (b"old", b"new"):
        entries.put(_entry(b"1", body=body), _vector(0), 9)
    assert [entry.body for entry, _ in entries.nearest(b"a", _vector(0), 0.5, 0.0)] == [b"new"]
    assert len(entries) == 1
