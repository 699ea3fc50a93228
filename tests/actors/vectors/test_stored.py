"""What is read back of a shard whose files are not all as they were written."""

from __future__ import annotations

from pathlib import Path

from actors.vectors.shard import Shard
from actors.vectors.stored import read_stored
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_rows import spec_of, upsert

SPEC = spec_of()


def written(directory: Path) -> Shard:
    shard = Shard.open(directory, SPEC)
    shard.apply([upsert(SPEC, 1, [(1, ([1, 2, 3], None, None))])])
    shard.optimise()
    while shard.maintain():
        pass
    return shard


def test_a_manifest_that_a_crash_left_half_written_is_removed(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / ".manifest-000000000099.json.1").write_text("{")
    stored = read_stored(tmp_path, SPEC)
    assert (len(stored.sealed), stored.lost) == (1, ())
    assert not list(tmp_path.glob(".manifest*"))


def test_segments_that_only_a_damaged_manifest_named_are_said_and_left_for_people(tmp_path: Path) -> None:
    written(tmp_path)
    (segment,) = (tmp_path / "segments").iterdir()
    next(tmp_path.glob("manifest-*")).write_text("{}")
    shard = Shard.open(tmp_path, SPEC)
    assert shard.view.count(EVERYTHING) == 0
    assert "cannot be read" in shard.degraded[0]
    assert f"{segment.name} is named by no manifest" in shard.degraded[1]
    shard.flush()
    assert Shard.open(tmp_path, SPEC).degraded == shard.degraded
    assert (segment / "rows.arrow").exists()


def test_rows_of_no_segment_that_are_damaged_are_said(tmp_path: Path) -> None:
    shard = written(tmp_path)
    shard.apply([upsert(SPEC, 2, [(2, ([1, 2, 3], None, None))])])
    shard.flush()
    next(tmp_path.glob("growing-*")).write_bytes(b"?")
    stored = read_stored(tmp_path, SPEC)
    assert (len(stored.sealed), stored.growing) == (1, ())
    assert "has 1 bytes, expected" in stored.lost[0].reason
