"""One replica's data: readers see whole entries, maintenance changes no answer, and a full disk loses nothing."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors import contents
from actors.vectors import shard as shard_module
from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.query import Level, Query
from actors.vectors.rows import UnknownField, conformed, row_schema
from actors.vectors.segments import rebuild as rebuild_module
from actors.vectors.shard import Shard
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.vector_filter import EVERYTHING, Exists, In, Range
from control.specs.vector_index import IndexSpec
from tests.fakes.vector_rows import Row, batch_of, body_of, delete, spec_of, upsert

SPEC = spec_of()
ORIGIN = np.zeros((1, 3), np.float32)


def rows(first: int, last: int, height: float = 0.0) -> list[tuple[int | str, Row]]:
    """Row i is at distance i from the origin, but for its height."""
    return [(one, ([float(one), 0.0, height], 2000 + one, "red")) for one in range(first, last + 1)]


def opened(directory: Path, count: int = 20) -> Shard:
    shard = Shard.open(directory, SPEC)
    shard.apply([upsert(SPEC, 1, rows(1, count))])
    return shard


def settle(shard: Shard) -> None:
    while shard.maintain():
        pass


def ids_of(shard: Shard, query: Query) -> list[int]:
    ids: list[int] = shard.view.search(query).ids.to_pylist()
    return ids


def nearest(shard: Shard, k: int = 3, level: Level = Level.LOG) -> list[int]:
    return ids_of(shard, Query(ORIGIN, k, level=level))


def test_a_new_shard_is_empty_and_answers(tmp_path: Path) -> None:
    shard = Shard.open(tmp_path / "a" / "b", SPEC)
    assert (shard.applied, shard.receipt, shard.degraded) == (Position(0, 0), Position(0, 0), ())
    hits = shard.view.search(Query(np.zeros((2, 3), np.float32), 5, columns=("year", "vector")))
    assert (hits.counts.tolist(), len(hits.ids), hits.seq) == ([0, 0], 0, 0)
    assert hits.rows is not None
    assert hits.rows.schema.names == ["year", "vector"]
    assert shard.view.count(EVERYTHING) == 0
    assert len(shard.view.scroll(EVERYTHING, None, 10, ())) == 0
    assert len(shard.view.matching(EVERYTHING)) == 0
    assert len(shard.view.fetch(pa.array([1]), ("year",))) == 0
    assert not shard.maintain()
    assert shard.receipts.files() == []


def test_hits_come_with_the_columns_that_were_asked_for(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    hits = shard.view.search(Query(np.array([[0, 0, 0], [20, 0, 0]], np.float32), 2, columns=("vector", "year")))
    assert hits.ids.to_pylist() == [1, 2, 20, 19]
    assert hits.scores.tolist() == [-1, -4, 0, -1]
    assert hits.rows is not None
    assert hits.rows.to_pylist()[2] == {"vector": [20, 0, 0], "year": 2020}


def test_the_last_of_an_id_in_a_batch_wins(tmp_path: Path) -> None:
    shard = Shard.open(tmp_path, SPEC)
    shard.apply([upsert(SPEC, 1, [*rows(1, 2, height=1), *rows(2, 3, height=5)])])
    assert shard.view.fetch(pa.array([1, 2, 3]), ("vector",)).column("vector").to_pylist() == [
        [1, 0, 1],
        [2, 0, 5],
        [3, 0, 5],
    ]


def test_hits_below_the_threshold_are_left_out(tmp_path: Path) -> None:
    assert ids_of(opened(tmp_path), Query(ORIGIN, 10, threshold=-9.0)) == [1, 2, 3]


def test_what_was_applied_before_is_skipped_and_a_gap_refused(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.apply([upsert(SPEC, 1, rows(50, 60)), delete(SPEC, 2, [1])])
    assert (nearest(shard), shard.applied) == ([2, 3, 4], Position(1, 2))
    with pytest.raises(ValueError, match="entry 4 after entry 2: those between are missing"):
        shard.apply([delete(SPEC, 4, [2])])
    assert nearest(shard) == [2, 3, 4]


def test_an_entry_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    with pytest.raises(pa.ArrowInvalid):
        shard.apply([delete(SPEC, 2, [1]), Entry(1, 3, Kind.UPSERT, b"no rows")])
    assert (nearest(shard), shard.applied) == ([1, 2, 3], Position(1, 1))
    shard.apply([delete(SPEC, 2, [1]), Entry(2, 3, Kind.LEAD, b"")])
    assert (nearest(shard), shard.applied) == ([2, 3, 4], Position(2, 3))


def test_readers_of_sealed_rows_do_not_see_new_ones_but_deletions_hold(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    assert nearest(shard, level=Level.INDEXED) == []
    shard.optimise()
    settle(shard)
    shard.apply([upsert(SPEC, 2, rows(0, 0)), delete(SPEC, 3, [2]), upsert(SPEC, 4, rows(3, 3, height=1))])
    assert nearest(shard, level=Level.INDEXED) == [1, 4, 5]
    assert nearest(shard, 4) == [0, 1, 3, 4]


def test_many_rows_are_sealed_and_optimise_leaves_one_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SEAL_BYTES", 8 * 12)
    shard = Shard.open(tmp_path, SPEC)
    for seq in range(1, 20):
        shard.apply([upsert(SPEC, seq, rows(5 * seq, 5 * seq + 4))])
    assert shard.figures().segments == 0
    settle(shard)
    assert 1 <= shard.figures().segments <= 4
    shard.apply([delete(SPEC, 20, [5, 6])])
    shard.optimise()
    settle(shard)
    figures = shard.figures()
    assert (figures.rows, figures.dead, figures.segments, figures.exact_rows) == (93, 0, 1, 0)
    assert nearest(shard) == [7, 8, 9]
    assert len(list((tmp_path / "segments").iterdir())) == 1


def test_what_is_deleted_while_a_segment_is_built_stays_deleted(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.optimise()
    assert shard.maintain()  # seals
    assert shard.maintain()  # begins to build
    assert shard.figures().building_rows == 20
    shard.apply([delete(SPEC, 2, [1]), upsert(SPEC, 3, rows(2, 2, height=1))])
    settle(shard)
    assert shard.figures().rebuilds >= 1
    assert nearest(shard) == [2, 3, 4]
    reopened = Shard.open(tmp_path, SPEC)
    assert nearest(reopened) == [2, 3, 4]
    assert reopened.view.count(EVERYTHING) == 19


def test_what_is_written_while_one_segment_is_made_does_not_have_it_made_again(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.optimise()
    assert shard.maintain()  # seals
    assert shard.maintain()  # begins to build
    shard.apply([delete(SPEC, 2, [1, 2, 3])])
    settle(shard)
    assert (shard.figures().rebuilds, shard.figures().dead) == (1, 3)
    shard.optimise()
    settle(shard)
    assert (shard.figures().rebuilds, shard.figures().dead) == (2, 0)


def test_a_receipt_has_all_that_was_applied(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    assert shard.flush() == Position(1, 1)
    shard.apply([delete(SPEC, 2, [1])])
    assert shard.receipt == Position(1, 1)
    assert nearest(Shard.open(tmp_path, SPEC)) == [1, 2, 3]
    assert shard.flush() == Position(1, 2)
    assert nearest(Shard.open(tmp_path, SPEC)) == [2, 3, 4]
    assert shard.figures().unreceipted_bytes == 0


def test_a_receipt_is_written_when_a_restart_would_apply_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_module, "RECEIPT_BYTES", 1_000)
    shard = opened(tmp_path)
    settle(shard)
    assert shard.receipt == shard.applied


def test_files_stay_as_they_are_while_they_are_held(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.optimise()
    settle(shard)
    held = shard.receipts.files()
    before = {path: path.read_bytes() for path in held}
    assert shard.receipts.files() == held
    shard.receipts.release()
    shard.apply([delete(SPEC, 2, [1])])
    shard.flush()
    shard.optimise()
    settle(shard)
    assert {path: path.read_bytes() for path in held} == before
    assert held[-1].name.startswith("manifest")
    shard.receipts.release()
    shard.flush()
    assert not any(path.exists() for path in held)


def test_another_index_is_built_and_other_search_parameters_hold_at_once(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.optimise()
    settle(shard)
    assert not shard.maintain()
    hnsw = SPEC.model_copy(update={"index": IndexSpec(kind="hnsw", m=4)})
    shard.retune(hnsw)
    assert shard.figures().outdated == 1
    assert shard.maintain()
    settle(shard)
    assert shard.figures().outdated == 0
    assert shard.figures().last_reason == "the collection asks for another index"
    faster = hnsw.model_copy(update={"index": IndexSpec(kind="hnsw", m=4, ef_search=7)})
    shard.retune(faster)
    assert not shard.maintain()
    assert nearest(shard) == [1, 2, 3]
    reopened = Shard.open(tmp_path, faster)
    assert not reopened.maintain()


def test_rows_of_another_schema_are_refused(tmp_path: Path) -> None:
    opened(tmp_path).flush()
    with pytest.raises(ValueError, match="another dimension or metric"):
        Shard.open(tmp_path, spec_of(metric="ip"))


def with_stars() -> CollectionSpec:
    """Of SPEC with one more field, before the others."""
    field = MetadataField(name="stars", type="integer")
    return SPEC.model_copy(update={"fields": (field, *SPEC.fields)})


def starred(seq: int, first: int, last: int) -> Entry:
    batch = pa.Table.from_batches([batch_of(SPEC, rows(first, last))])
    table = conformed(batch, row_schema(with_stars())).set_column(2, "stars", pa.array([9] * len(batch), pa.int64()))
    return Entry(1, seq, Kind.UPSERT, body_of(table.to_batches()[0]))


def test_a_new_field_is_null_in_older_rows_and_stays_in_newer_ones(tmp_path: Path) -> None:
    shard, spec = opened(tmp_path, 10), with_stars()
    shard.optimise()
    settle(shard)
    shard.apply([upsert(SPEC, 2, rows(11, 14))])
    shard.optimise()  # those are frozen
    shard.apply([upsert(SPEC, 3, rows(15, 20))])
    shard.retune(spec)
    shard.apply([starred(4, 9, 11), upsert(SPEC, 5, rows(10, 10)), starred(6, 21, 22)])
    for _ in range(2):
        assert sorted(shard.view.matching(In("stars", (9,))).to_pylist()) == [9, 11, 21, 22]
        assert shard.view.count(Exists("stars")) == 4
        told = shard.view.fetch(pa.array([1, 9, 10, 12, 16, 22]), ("year", "stars"))
        assert told.column("stars").to_pylist() == [None, 9, None, None, None, 9]
        assert told.column("year").to_pylist() == [2001, 2009, 2010, 2012, 2016, 2022]
        assert ids_of(shard, Query(ORIGIN, 3, where=In("stars", (9,)))) == [9, 11, 21]
        shard.flush()
        shard.close()
        shard = Shard.open(tmp_path, spec)
        settle(shard)


def test_an_index_of_a_field_comes_while_a_segment_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard, spec = opened(tmp_path), with_stars()
    shard.optimise()
    settle(shard)
    shard.apply([upsert(SPEC, 2, rows(21, 30))])
    shard.optimise()
    while shard.figures().growing_rows:
        shard.maintain()  # the last step begins with the segment of both
    shard.retune(spec)
    shard.apply([starred(3, 5, 6)])
    settle(shard)
    assert len(shard.view.sealed) == 1
    assert sorted(shard.view.matching(In("stars", (9,))).to_pylist()) == [5, 6]
    assert shard.view.count(Exists("stars")) == 2


def test_rows_with_a_field_that_nobody_told_the_shard_of_are_not_applied_without_it(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    with pytest.raises(UnknownField, match="rows have stars"):
        shard.apply([upsert(SPEC, 2, rows(30, 31)), starred(3, 21, 22)])
    assert (shard.applied.seq, shard.view.count(EVERYTHING)) == (1, 20)
    shard.retune(with_stars())
    shard.apply([upsert(SPEC, 2, rows(30, 31)), starred(3, 21, 22)])
    shard.flush()
    shard.close()
    with pytest.raises(UnknownField, match="rows have stars"):
        Shard.open(tmp_path, SPEC)


def test_a_full_disk_loses_nothing_and_maintenance_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = opened(tmp_path)
    shard.flush()
    shard.optimise()
    full = True
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            settle(shard)
        with pytest.raises(OSError, match="No space left"):
            shard.flush()
    shard.apply([delete(SPEC, 2, [1])])
    assert nearest(shard) == [2, 3, 4]
    full = False
    assert nearest(Shard.open(tmp_path, SPEC)) == [1, 2, 3]
    settle(shard)
    shard.flush()
    assert shard.figures().segments == 1
    assert nearest(Shard.open(tmp_path, SPEC)) == [2, 3, 4]
    assert len(list(tmp_path.glob("manifest-*"))) == 1
    assert len(list(tmp_path.glob("growing-*"))) == 0


def test_a_shard_that_is_closed_while_it_builds_leaves_nothing(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.optimise()
    assert shard.maintain()
    assert shard.maintain()
    shard.close()
    reopened = Shard.open(tmp_path, SPEC)
    assert nearest(reopened) == [1, 2, 3]
    reopened.flush()
    assert len(list((tmp_path / "segments").iterdir())) == 1


def test_filtered_rows_are_counted_and_listed_across_segments(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.optimise()
    settle(shard)
    shard.apply([upsert(SPEC, 2, rows(21, 25)), delete(SPEC, 3, [19, 22])])
    late = Range("year", low=2018)
    assert shard.view.count(late) == 6
    assert sorted(shard.view.matching(late).to_pylist()) == [18, 20, 21, 23, 24, 25]
    page = shard.view.scroll(late, 18, 3, ("year",))
    assert page.to_pydict() == {"id": [20, 21, 23], "year": [2020, 2021, 2023]}


def test_no_reader_ever_sees_two_rows_of_an_id_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SEAL_BYTES", 12 * 12)
    monkeypatch.setattr(rebuild_module, "_NICE", 0)  # on a busy machine it would hardly begin
    shard = opened(tmp_path, 8)
    over = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        seen = 0.0
        while not over.wait(0.001):
            hits = shard.view.search(Query(ORIGIN, 20, Range("year", high=2008), columns=("vector",)))
            fetched = shard.view.fetch(pa.array(range(1, 9)), ("vector",))
            assert hits.rows is not None
            for ids, vectors in ((hits.ids, hits.rows), (fetched.column("id"), fetched)):
                heights = {vector[2] for vector in vectors.column("vector").to_pylist()}
                if sorted(ids.to_pylist()) != list(range(1, 9)) or len(heights) != 1 or min(heights) < seen:
                    wrong.append((ids.to_pylist(), heights, seen))
                seen = max(heights)

    def maintain() -> None:
        while not over.wait(0.001):
            shard.maintain()

    threads = [threading.Thread(target=work) for work in (read, read, maintain)]
    for thread in threads:
        thread.start()
    seq = 1
    while seq < 50 or (now := shard.figures()).rebuilds < 2:
        if seq >= 50 and now.segments > 8:
            time.sleep(0.001)  # who maintains it comes to it first
            continue
        seq += 1
        shard.apply([upsert(SPEC, seq, rows(1, 8, height=seq) + rows(100 + seq % 50, 100 + seq % 50))])
        time.sleep(0.001)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    shard.close()
