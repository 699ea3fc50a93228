"""One replica's log and shard in the process of the bench, and the bare FAISS index inside it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.vectors.entry import Entry, Kind
from actors.vectors.log import Log
from actors.vectors.query import Query, Tuning
from actors.vectors.rows import ID, row_schema, vector_column
from actors.vectors.shard import Shard
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import EVERYTHING, Filter, Range
from scripts.bench.vectors_data import Case, Dataset, Floats, Ints, K

BATCH = 1_000


def spec_of(data: Dataset, kind: str, **more: Any) -> CollectionSpec:
    fields = [{"name": name, "type": "integer"} for name in data.numbers]
    told = {"dimension": data.base.shape[1], "metric": "l2", "ids": "integer", "fields": fields, **more}
    return CollectionSpec.model_validate({**told, "index": {"kind": kind}})


def batches(data: Dataset, spec: CollectionSpec, low: int, high: int) -> Iterator[pa.RecordBatch]:
    """The rows from `low` to `high` as they are written; a row's id is its number."""
    schema = row_schema(spec)
    for first in range(low, high, BATCH):
        rows = slice(first, min(first + BATCH, high))
        numbers = [pa.array(numbers[rows]) for numbers in data.numbers.values()]
        ids = pa.array(np.arange(rows.start, rows.stop))
        yield pa.RecordBatch.from_arrays([ids, vector_column(data.base[rows]), *numbers], schema=schema)


def where_of(case: Case | None) -> Filter:
    return EVERYTHING if case is None else Range(case.attribute, case.low, case.high, high_open=True)


class ShardWay:
    """The rows of the sealed part in one segment, 5 % of all rows deleted, the rest of the rows without an index."""

    def __init__(self, data: Dataset, kind: str, directory: Path) -> None:
        self.spec = spec_of(data, kind)
        self._log, self.shard = Log.open(directory / "log"), Shard.open(directory / "data", self.spec)
        self._write(Kind.UPSERT, *batches(data, self.spec, 0, data.sealed))
        self.shard.optimise()
        while self.shard.maintain():
            pass
        self._write(Kind.UPSERT, *batches(data, self.spec, data.sealed, len(data.base)))
        self._write(Kind.DELETE, pa.RecordBatch.from_pydict({ID: pa.array(np.flatnonzero(~data.alive))}))
        (sealed,) = self.shard.view.sealed
        self.index = sealed.rowset.index

    def _write(self, kind: Kind, *rows: pa.RecordBatch) -> None:
        for batch in rows:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            entry = Entry(1, self._log.last.seq + 1, kind, sink.getvalue().to_pybytes())
            self._log.append([entry])
            self._log.sync()
            self.shard.apply([entry])

    def search(self, queries: Floats, case: Case | None) -> Ints:
        hits = self.shard.view.search(Query(queries, K, where_of(case)))
        return padded(hits.counts, hits.ids.to_numpy())

    def bare(self, queries: Floats) -> object:
        """The sealed segment's own index, asked as the shard asks it, but of nobody dead and nothing else."""
        return self._search(queries)

    @property
    def _search(self) -> Any:
        tuning = self.index.tuned(Tuning(), K)
        return partial(self.index.search, k=K, tuning=tuning)

    def close(self) -> None:
        self.shard.close()
        self._log.close()


def padded(counts: NDArray[np.int32], ids: Ints) -> Ints:
    """(q, K) from the hits of q queries one after the other."""
    found = np.full((len(counts), K), -1, np.int64)
    found[np.arange(K) < counts[:, None]] = ids
    return found
