"""The peers of the vector planes, each in the durable mode that it has, on the same rows and filters.

Run by `scripts.bench.vectors` with any interpreter that has NumPy; a peer that it lacks is left out. Prints rows of
JSON.
Each peer gets the rows of the sealed part first, then the deletions, then the rest, as Biplane does. Where a peer's
recall can be had for time, the least effort is taken that reaches 0.99 without a filter.
Usage: PYTHON -m scripts.bench.vectors_peers DATASET CASES.npz [--seconds 2] [--only hnswlib,chromadb,lancedb,qdrant]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scripts.bench.vectors_data import Case, Dataset, Floats, Ints, K, load, load_cases, recall
from scripts.bench.vectors_load import CELLS, timed

RECALL = 0.99
EFFORTS = (32, 64, 128, 256, 512, 1024)
M, EF_CONSTRUCTION = 16, 200


class Peer(Protocol):
    """Made with a data set and an empty directory."""

    index: str
    filters: bool
    """Whether it is measured with filters, too: with each of them the others take minutes."""

    def search(self, queries: Floats, case: Case | None, effort: int) -> Ints:
        """(q, K) row numbers, -1 for none."""
        ...


class Hnswlib:
    """A library: nothing is durable until it is saved. Its filters are functions of Python."""

    index = "hnsw"
    filters = True

    def __init__(self, data: Dataset, directory: Path) -> None:
        import hnswlib

        self._numbers = {name: numbers.tolist() for name, numbers in data.numbers.items()}
        self._graph = hnswlib.Index("l2", data.base.shape[1])
        self._graph.init_index(len(data.base), M=M, ef_construction=EF_CONSTRUCTION)
        self._graph.add_items(data.base[: data.sealed], np.arange(data.sealed))
        dead = np.flatnonzero(~data.alive)
        for row in dead[dead < data.sealed]:
            self._graph.mark_deleted(row)
        late = np.arange(data.sealed, len(data.base))
        self._graph.add_items(data.base[late], late)
        for row in dead[dead >= data.sealed]:
            self._graph.mark_deleted(row)
        self._graph.save_index(str(directory / "graph"))

    def search(self, queries: Floats, case: Case | None, effort: int) -> Ints:
        self._graph.set_ef(max(effort, K))
        if case is None:
            return np.asarray(self._graph.knn_query(queries, K)[0], np.int64)
        numbers, low, high = self._numbers[case.attribute], case.low, case.high
        try:
            found = self._graph.knn_query(queries, K, num_threads=1, filter=lambda row: low <= numbers[row] < high)[0]
        except RuntimeError:  # it found fewer than K, and says so only by failing
            return np.full((len(queries), K), -1, np.int64)
        return np.asarray(found, np.int64)


class Chromadb:
    index = "hnsw"
    filters = False

    def __init__(self, data: Dataset, directory: Path) -> None:
        import chromadb

        client = chromadb.PersistentClient(str(directory))
        settings: Any = {
            "hnsw:space": "l2",
            "hnsw:M": M,
            "hnsw:construction_ef": EF_CONSTRUCTION,
            "hnsw:search_ef": 128,
        }
        self._rows = client.create_collection("rows", metadata=settings)
        self._add(data, 0, data.sealed)
        dead = [str(row) for row in np.flatnonzero(~data.alive)]
        self._add(data, data.sealed, len(data.base))
        for first in range(0, len(dead), 1000):
            self._rows.delete(dead[first : first + 1000])

    def _add(self, data: Dataset, low: int, high: int) -> None:
        for first in range(low, high, 2000):
            rows = range(first, min(first + 2000, high))
            told: Any = [{name: int(of[row]) for name, of in data.numbers.items()} for row in rows]
            self._rows.add([str(row) for row in rows], embeddings=data.base[rows.start : rows.stop], metadatas=told)

    def search(self, queries: Floats, case: Case | None, effort: int) -> Ints:
        found = self._rows.query(query_embeddings=queries, n_results=K, include=[])
        return padded([[int(one) for one in ids] for ids in found["ids"]])


class Lancedb:
    index = "ivf_flat"
    filters = False

    def __init__(self, data: Dataset, directory: Path) -> None:
        import lancedb
        import pyarrow as pa

        def rows(low: int, high: int) -> Any:
            flat = pa.array(data.base[low:high].reshape(-1))
            vectors = pa.FixedSizeListArray.from_arrays(flat, data.base.shape[1])
            numbers = {name: of[low:high] for name, of in data.numbers.items()}
            return pa.table({"row": np.arange(low, high), "vector": vectors, **numbers})

        self._table = lancedb.connect(str(directory)).create_table("rows", rows(0, data.sealed))
        self._table.create_index(metric="l2", index_type="IVF_FLAT", num_partitions=max(1, int(data.sealed**0.5)))
        for name in data.numbers:
            self._table.create_scalar_index(name)
        self._table.add(rows(data.sealed, len(data.base)))
        self._table.delete(f"row in ({', '.join(map(str, np.flatnonzero(~data.alive)))})")

    def search(self, queries: Floats, case: Case | None, effort: int) -> Ints:
        answers = []
        for query in queries:
            asked = self._table.search(query).limit(K).nprobes(max(1, effort // 8)).select(["row"])
            answers.append([int(row) for row in asked.to_arrow()["row"].to_pylist()])
        return padded(answers)


class Qdrant:
    """The client's local mode, which has no index: it measures every row."""

    index = "flat"
    filters = False

    def __init__(self, data: Dataset, directory: Path) -> None:
        from qdrant_client import QdrantClient, models

        self._client = QdrantClient(path=str(directory))
        size = models.VectorParams(size=data.base.shape[1], distance=models.Distance.EUCLID)
        self._client.create_collection("rows", vectors_config=size)
        for first in range(0, len(data.base), 1000):
            rows = range(first, min(first + 1000, len(data.base)))
            told = [{name: int(of[row]) for name, of in data.numbers.items()} for row in rows]
            self._client.upsert("rows", models.Batch(ids=list(rows), vectors=data.base[rows].tolist(), payloads=told))
        self._client.delete("rows", models.PointIdsList(points=np.flatnonzero(~data.alive).tolist()))

    def search(self, queries: Floats, case: Case | None, effort: int) -> Ints:
        answers = []
        for query in queries:
            found = self._client.query_points("rows", query=query.tolist(), limit=K)
            answers.append([int(point.id) for point in found.points])
        return padded(answers)


PEERS: dict[str, tuple[str, Callable[[Dataset, Path], Peer]]] = {
    "hnswlib": ("hnswlib", Hnswlib),
    "chromadb": ("chromadb", Chromadb),
    "lancedb": ("lancedb", Lancedb),
    "qdrant": ("qdrant_client", Qdrant),
}


def padded(answers: Sequence[Sequence[int]]) -> Ints:
    return np.asarray([[*answer, *(-1,) * K][:K] for answer in answers], np.int64)


def measure(name: str, peer: Peer, data: Dataset, made: list[Case], seconds: float) -> Iterator[dict[str, Any]]:
    """The unfiltered cells, then one client with each filter."""
    effort = next((e for e in EFFORTS if (_recall(peer, data, None, e) or 0.0) >= RECALL), EFFORTS[-1])
    for batch, clients in CELLS:
        rate, p99 = timed(partial(_ask, peer, data, None, effort), len(data.queries), batch, clients, seconds)
        yield {**_row(name, peer, batch, clients, rate, p99), "recall_at_10": _recall(peer, data, None, effort)}
    for case in made if peer.filters else ():
        rate, p99 = timed(partial(_ask, peer, data, case, effort), len(case.queries), 1, 1, seconds)
        told = {"filter": case.kind, "selectivity": case.selectivity, "recall_at_10": _recall(peer, data, case, effort)}
        yield {**_row(name, peer, 1, 1, rate, p99), **told}


def _ask(peer: Peer, data: Dataset, case: Case | None, effort: int, rows: Ints) -> Ints:
    return peer.search(data.queries[rows if case is None else case.queries[rows]], case, effort)


def _row(name: str, peer: Peer, batch: int, clients: int, rate: float, p99: float) -> dict[str, Any]:
    told = {"system": name, "index": peer.index, "mode": "library" if name == "hnswlib" else "local"}
    return {
        **told,
        "batch": batch,
        "clients": clients,
        "filter": None,
        "selectivity": None,
        "searches_per_s": rate,
        "ms_p99": p99,
    }


def _recall(peer: Peer, data: Dataset, case: Case | None, effort: int) -> float | None:
    """None where it returned too few."""
    queries, wanted = (data.queries, data.wanted) if case is None else (data.queries[case.queries], case.wanted)
    some = slice(0, 100)
    try:
        return recall(data, queries[some], wanted[some], peer.search(queries[some], case, effort))
    except ValueError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", default=",".join(PEERS))
    asked = parser.parse_args()
    data, made = load(asked.dataset), load_cases(asked.cases)
    for name in asked.only.split(","):
        package, make = PEERS[name]
        if importlib.util.find_spec(package) is None:
            print(f"{name} is not installed for {sys.executable}", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(prefix=f"biplane-{name}-") as directory:
            for row in measure(name, make(data, Path(directory)), data, made, asked.seconds):
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
