"""Searches of a vector collection, beside the bare FAISS index inside it and beside other systems, in one run.

  shard   a replica's log and shard in the process of the bench, synced before each write is applied
  handle  a replica of its own process and directory, asked through Ray by the client of the shards; `echo` is a call
          that does nothing, with as many bytes there and back, on the very path of a search, and faiss there one
          that asks the bare index and nothing else
  faiss   the index of the shard's sealed segment by itself, with the same parameters and threads, of nobody dead
  peers   (--peers) hnswlib, chromadb, lancedb and qdrant-client's local mode, those that PYTHON has

5 % of the rows are deleted, and 2 % came after the index was built. Filters are a range of a whole number that matches
50 % to 0.1 % of the rows: at random, near the queries (correlated) or far from them (anticorrelated). recall_at_10 is
over all queries; null where fewer rows came back than match. Ways take turns in each of the rounds; rates are medians.
--ingest writes batches of 1,000 at quorum. Runs of their own: vectors_http (through the gateway of a plane that is up)
and vectors_million (a shard of a million rows: built, searched while it is rebuilt, killed, opened).

Usage: python -m scripts.bench.vectors --dataset FILE.npz [--json] [--index hnsw,flat,ivf_flat,ivf_pq]
       [--peers PYTHON] [--ingest]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import ray
from rich.table import Table

from control.kernel.ids import NAMESPACE
from scripts.bench import vectors_ingest
from scripts.bench.serving import out, say
from scripts.bench.serving_plane import ROOT
from scripts.bench.vectors_data import Case, Dataset, Floats, Ints, cases, load, recall, save_cases
from scripts.bench.vectors_handle import HandleWay, timed_tasks
from scripts.bench.vectors_load import CELLS, timed
from scripts.bench.vectors_shard import ShardWay, spec_of

INDEXES = ("hnsw", "flat", "ivf_flat", "ivf_pq")
ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """One cell; `recall_at_10` is null of an empty call, and where fewer rows came back than match."""

    system: str
    index: str
    mode: str
    batch: int
    clients: int
    filter: str | None
    selectivity: float | None
    recall_at_10: float | None
    searches_per_s: float
    ms_p99: float


@dataclass(frozen=True)
class Bench:
    data: Dataset
    cases: Sequence[Case]
    seconds: float

    def shard(self, index: str) -> Iterator[Row]:
        with tempfile.TemporaryDirectory(prefix="biplane-shard-") as directory:
            way = ShardWay(self.data, index, Path(directory))
            kind, right = way.index.kind, self._recall(lambda rows: way.search(self.data.queries[rows], None), None)
            for batch, clients in CELLS[:2]:
                ways: dict[str, Callable[[Ints], object]] = {
                    "biplane": lambda rows: way.search(self.data.queries[rows], None),
                    "faiss": lambda rows: way.bare(self.data.queries[rows]),
                }
                turns = [
                    {
                        name: timed(ask, len(self.data.queries), batch, clients, self.seconds)
                        for name, ask in ways.items()
                    }
                    for _ in range(ROUNDS)
                ]
                for name in ways:
                    told = right if name == "biplane" else None
                    yield _row(name, kind, "shard", batch, clients, None, told, [turn[name] for turn in turns])
            for case in self.cases:
                ask = _filtered(way, self.data, case)
                turn = timed(ask, len(case.queries), 1, 1, self.seconds)
                yield _row("biplane", kind, "shard", 1, 1, case, self._recall(ask, case), [turn])
            way.close()

    async def handle(self) -> list[Row]:
        rows = []
        with tempfile.TemporaryDirectory(prefix="biplane-handle-", ignore_cleanup_errors=True) as directory:
            way = HandleWay(spec_of(self.data, "hnsw"), Path(directory))
            await way.load(self.data)
            queries = self.data.queries
            found = [await way.search(queries[first : first + 32]) for first in range(0, len(queries), 32)]
            right = recall(self.data, queries, self.data.wanted, np.concatenate(found))
            for batch, clients in CELLS:
                searched, bare, echoed = [], [], []
                for _ in range(ROUNDS):
                    asked = len(queries), batch, clients, self.seconds
                    searched.append(await timed_tasks(lambda rows: way.search(queries[rows]), *asked))
                    bare.append(await timed_tasks(lambda rows: way.bare(queries[rows]), *asked))
                    echoed.append(await timed_tasks(lambda rows: way.echo(queries[rows]), *asked))
                rows.append(_row("biplane", "hnsw", "handle", batch, clients, None, right, searched))
                rows.append(_row("faiss", "hnsw", "handle", batch, clients, None, None, bare))
                rows.append(_row("echo", "none", "handle", batch, clients, None, None, echoed))
            way.close()
        return rows

    def peers(self, python: str, dataset: Path) -> Iterator[Row]:
        with tempfile.TemporaryDirectory(prefix="biplane-peers-") as directory:
            made = Path(directory) / "cases.npz"
            save_cases(made, list(self.cases))
            words = ["-m", "scripts.bench.vectors_peers", str(dataset.absolute()), str(made)]
            command = [python, *words, "--seconds", str(self.seconds)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
                for line in running.stdout or ():
                    yield Row(**json.loads(line))
            if running.returncode:
                raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}")

    def _recall(self, ask: Callable[[Ints], Ints], case: Case | None) -> float | None:
        queries, wanted = (self.data.queries, self.data.wanted)
        if case is not None:
            queries, wanted = queries[case.queries], case.wanted
        parts = [ask(np.arange(first, min(first + 32, len(queries)))) for first in range(0, len(queries), 32)]
        try:
            return recall(self.data, queries, wanted, np.concatenate(parts))
        except ValueError as error:
            say(f"{'no filter' if case is None else f'{case.kind} {case.selectivity}'}: {error}")
            return None


def _filtered(way: ShardWay, data: Dataset, case: Case) -> Callable[[Ints], Ints]:
    queries: Floats = data.queries[case.queries]
    return lambda rows: way.search(queries[rows], case)


def _row(
    system: str, index: str, mode: str, batch: int, clients: int, case: Case | None, recall: float | None,
    turns: Sequence[tuple[float, float]],
) -> Row:  # fmt: skip
    kind, selectivity = (None, None) if case is None else (case.kind, case.selectivity)
    rate, p99 = (median(column) for column in zip(*turns, strict=True))
    told = round(recall, 4) if recall is not None else None
    return Row(system, index, mode, batch, clients, kind, selectivity, told, round(rate, 1), round(p99, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--index", default=",".join(INDEXES))
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--ingest", action="store_true")
    asked = parser.parse_args()
    data = load(asked.dataset)
    bench = Bench(data, list(cases(data)), asked.seconds)
    rows: list[Row] = []
    for index in asked.index.split(","):
        say(f"shard: {index}")
        rows += bench.shard(index)
    ray.init(include_dashboard=False, log_to_driver=False, namespace=NAMESPACE)
    try:
        say("handle")
        rows += asyncio.run(bench.handle())
        ingest = asyncio.run(vectors_ingest.measure()) if asked.ingest else None
    finally:
        ray.shutdown()
    if asked.peers:
        say("peers")
        rows += bench.peers(asked.peers, asked.dataset)
    if asked.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "ingest": ingest}))
    else:
        show(rows)


def show(rows: Sequence[Row]) -> None:
    table = Table(*(name.replace("_", " ") for name in Row.__dataclass_fields__))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in asdict(row).values()))
    out.print(table)


if __name__ == "__main__":
    main()
