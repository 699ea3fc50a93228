"""Whatever is written, deleted, sealed, merged, flushed, killed and opened again: a shard is what a dictionary says."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.vectors import contents
from actors.vectors.entry import Entry
from actors.vectors.log import Log
from actors.vectors.query import Level, Query
from actors.vectors.shard import Shard
from control.specs.vector_filter import EVERYTHING, Filter, In, Range
from tests.fakes.vector_rows import COLUMNS, Model, Row, delete, spec_of, upsert

EXAMPLES = int(os.environ.get("BIPLANE_SHARD_EXAMPLES", "15"))
IDS = st.integers(0, 11)
ROWS = st.tuples(
    st.lists(st.integers(-3, 3).map(float), min_size=3, max_size=3),
    st.none() | st.integers(2000, 2003),
    st.none() | st.sampled_from(["red", "blue"]),
)
FILTERS: tuple[Filter, ...] = (EVERYTHING, In("year", (2001, 2003)), In("colour", ("red",)), Range("year", high=2001))
QUERIES = np.array([[0, 0, 0], [1, -2, 3]], np.float32)


def matches(row: Row, where: Filter) -> bool:
    match where:
        case In("year", years):
            return row[1] in years
        case In("colour", colours):
            return row[2] in colours
        case Range("year", _, high):
            return row[1] is not None and high is not None and row[1] <= high
    return True


class Life(RuleBasedStateMachine):
    """One shard, its log, and the dictionary."""

    @initialize(kind=st.sampled_from(["flat", "hnsw", "ivf_flat", "auto"]), ids=st.sampled_from(["integer", "string"]))
    def begin(self, kind: str, ids: str) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.spec = spec_of(kind, ids)
        self.model = Model(self.spec)
        self.log = Log.open(self.directory / "log")
        self.shard = Shard.open(self.directory / "shard", self.spec)

    def id_of(self, number: int) -> int | str:
        return number if self.spec.ids == "integer" else f"n{number}"

    def write(self, *entries: Entry) -> None:
        self.log.append(entries)
        self.log.sync()
        self.shard.apply(entries)

    @rule(written=st.lists(st.tuples(IDS, ROWS), min_size=1, max_size=6))
    def upsert(self, written: Sequence[tuple[int, Row]]) -> None:
        rows = [(self.id_of(number), row) for number, row in written]
        self.write(upsert(self.spec, self.log.last.seq + 1, rows))
        self.model.rows |= dict(rows)

    @rule(numbers=st.lists(IDS, max_size=4))
    def delete(self, numbers: list[int]) -> None:
        ids = [self.id_of(number) for number in numbers]
        self.write(delete(self.spec, self.log.last.seq + 1, ids))
        for one in ids:
            self.model.rows.pop(one, None)

    @rule(first=st.lists(st.tuples(IDS, ROWS), min_size=1, max_size=3), number=IDS, last=st.tuples(IDS, ROWS))
    def several_entries_at_once(self, first: Sequence[tuple[int, Row]], number: int, last: tuple[int, Row]) -> None:
        seq = self.log.last.seq
        rows = [(self.id_of(one), row) for one, row in first]
        gone, again = self.id_of(number), [(self.id_of(last[0]), last[1])]
        self.write(
            upsert(self.spec, seq + 1, rows),
            delete(self.spec, seq + 2, [gone]),
            upsert(self.spec, seq + 3, again),
            upsert(self.spec, seq + 4, again),
        )
        self.model.rows |= dict(rows)
        self.model.rows.pop(gone, None)
        self.model.rows |= dict(again)

    @rule()
    def maintain_a_step(self) -> None:
        self.shard.maintain()

    @rule()
    def maintain_to_the_end(self) -> None:
        while self.shard.maintain():
            pass

    @rule()
    def optimise(self) -> None:
        self.shard.optimise()

    @rule()
    def flush_and_cut_the_log(self) -> None:
        assert self.shard.flush() == self.shard.applied == self.shard.receipt
        self.log.cut_before(self.shard.receipt.seq + 1)

    @rule()
    def be_killed_and_opened_again(self) -> None:
        self.shard.close()
        self.log.close()
        self.log = Log.open(self.directory / "log")
        self.shard = Shard.open(self.directory / "shard", self.spec)
        assert self.shard.degraded == ()
        assert self.log.damage == ""
        assert self.shard.applied == self.shard.receipt
        self.shard.apply(self.log.read(self.shard.applied.seq))
        assert self.shard.applied.seq == self.log.last.seq

    @rule()
    def be_copied_file_by_file(self) -> None:
        copy = self.directory / "copy"
        for path in self.shard.receipts.files():
            place = copy / path.relative_to(self.directory / "shard")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        self.shard.receipts.release()
        copied = Shard.open(copy, self.spec)
        assert copied.degraded == ()
        assert copied.receipt == self.shard.receipt
        copied.apply(self.log.read(copied.applied.seq))
        assert copied.view.count(EVERYTHING) == len(self.model.rows)
        shutil.rmtree(copy, ignore_errors=True)

    @precondition(lambda self: hasattr(self, "shard"))
    @invariant()
    def the_dictionary_and_the_shard_agree(self) -> None:
        for where in FILTERS:
            matching = {one for one, row in self.model.rows.items() if matches(row, where)}
            assert self.shard.view.count(where) == len(matching)
            assert sorted(self.shard.view.matching(where).to_pylist()) == sorted(matching)
            scrolled = self.shard.view.scroll(where, self.id_of(3), 4, ("year",)).to_pydict()
            ordered = sorted({*matching, self.id_of(3)})
            assert scrolled["id"] == ordered[ordered.index(self.id_of(3)) + 1 :][:4]
            assert scrolled["year"] == [self.model.rows[one][1] for one in scrolled["id"]]
            self.search_agrees(where, matching)
        self.fetch_agrees()

    def search_agrees(self, where: Filter, matching: set[int | str]) -> None:
        hits = self.shard.view.search(Query(QUERIES, 4, where, columns=COLUMNS))
        assert hits.seq == self.log.last.seq
        assert hits.rows is not None
        found, start = hits.ids.to_pylist(), 0
        for query, count in zip(QUERIES, hits.counts, strict=True):
            scores = {one: score for one, score in self.model.scores(query).items() if one in matching}
            ids = found[start : start + count]
            assert len(set(ids)) == len(ids) == min(4, len(scores))
            assert [scores[one] for one in ids] == sorted(scores.values(), reverse=True)[:4]
            assert hits.scores[start : start + count].tolist() == [scores[one] for one in ids]
            start += count
        rows = zip(*(hits.rows.column(name).to_pylist() for name in COLUMNS), strict=True)
        assert list(rows) == [self.model.rows[one] for one in found]

    def fetch_agrees(self) -> None:
        asked = [self.id_of(number) for number in (5, 0, 99, 11, 5)]
        fetched = self.shard.view.fetch(pa.array(asked), COLUMNS).to_pydict()
        assert fetched["id"] == [one for one in asked if one in self.model.rows]
        assert list(zip(*(fetched[name] for name in COLUMNS), strict=True)) == [
            self.model.rows[one] for one in fetched["id"]
        ]

    def teardown(self) -> None:
        if hasattr(self, "shard"):
            indexed = self.shard.view.search(Query(QUERIES, 20, level=Level.INDEXED)).ids.to_pylist()
            assert set(indexed) <= set(self.model.rows)
            self.shard.close()
            self.log.close()
            shutil.rmtree(self.directory)


def test_a_shard_is_what_a_dictionary_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SEAL_BYTES", 8 * 3 * 4)
    run_state_machine_as_test(Life, settings=settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None))
