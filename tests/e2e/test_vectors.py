"""Collections of vectors on a real plane: rows in and out, and what stays true while their processes are killed.

The tests of this file tell one story and share one plane: each goes on where the one before ended.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from control.kernel.recover import processes_of
from serve_apps.vectors.client import Collection, Hit, Vectors, VectorsError
from tests.e2e.plane import Plane, sigkill, until

DIMENSION = 384
IMPORTED = 1000
RECOVERY_SECONDS = 15.0
"""Within these a shard whose leader was killed takes writes again."""
MOVE_SECONDS = 5.0
"""So long writes wait at most while rows move to other shards; usually it is about one."""
DOCUMENT = """\
apiVersion: biplane/v1
kind: Collection
metadata: {name: articles}
spec:
  dimension: 384
  fields:
    - {name: body, type: text}
    - {name: year, type: integer}
    - {name: tags, type: keyword, many: true}
  shards: 2
  replicas: 3
  embedding: {field: body}
---
apiVersion: biplane/v1
kind: Collection
metadata: {name: films}
spec: {dimension: 2}
"""
ARTICLES: list[dict[str, Any]] = [
    {"id": "cat", "metadata": {"body": "The cat sat on the mat", "year": 2001, "tags": ["pets", "home"]}},
    {"id": "moon", "metadata": {"body": "The rocket flew to the moon", "year": 1969, "tags": ["space"]}},
    {"id": "soup", "metadata": {"body": "A recipe for a warm tomato soup", "year": 2010}},
    {"id": "bill", "text": "Invoice number ZX81 of the Zorgon company", "metadata": {"year": 2020}},
]


@dataclass(frozen=True)
class Live:
    """The plane, the vectors API, and the collection that the story is about."""

    plane: Plane
    vectors: Vectors
    articles: Collection

    def status(self, name: str = "articles") -> dict[str, Any]:
        """Of the collection, as vectors control last wrote it."""
        (found,) = self.plane.client.get("Collection", name)
        return dict(found.status)

    def directories(self, name: str = "articles") -> list[Path]:
        """Of the collection, one; none once it is gone."""
        return list(self.plane.home.vectors.glob(f"{name}-*"))

    def process(self, shard: int, replica: int, name: str = "articles") -> psutil.Process:
        """Of that replica of the collection: it has the lock of its directory open."""
        (directory,) = self.directories(name)
        lock = str(directory / str(shard) / str(replica) / "lock")
        (found,) = (one for one in processes(self.plane, "ray::Replica") if lock in opened(one))
        return found


@pytest.fixture(scope="module")
def live(plane: Plane) -> Iterator[Live]:
    plane.biplane("up", "--cluster", str(plane.cluster), timeout=600)
    plane.apply(DOCUMENT)
    with Vectors(plane.client.settings.gateway_url, plane.key) as vectors:
        live = Live(plane, vectors, vectors.collection("articles"))
        until(lambda: succeeds(live.articles.count))
        yield live
    for one in plane.client.get("Collection"):
        plane.biplane("vectors", "delete", one.name, "--yes")


def processes(plane: Plane, name: str) -> list[psutil.Process]:
    return [one for one in processes_of(plane.home.plane_id) if name in " ".join(one.cmdline())]


def opened(process: psutil.Process) -> set[str]:
    return {file.path for file in process.open_files()}


def succeeds(call: Any) -> bool:
    try:
        call()
    except (VectorsError, httpx.HTTPError):
        return False
    return True


def names(hits: tuple[Hit, ...]) -> list[Any]:
    return [hit.id for hit in hits]


def axis(number: int) -> list[float]:
    vector = np.zeros(DIMENSION, np.float32)
    vector[number % DIMENSION] = 1
    return [float(one) for one in vector]


def article(number: int) -> dict[str, Any]:
    return {"vector": axis(number), "metadata": {"year": 3000}}


def film(number: int) -> dict[str, Any]:
    return {"vector": [number % 90 - 45, 1]}


@dataclass
class Writer:
    """Writes a row after the other; `acknowledged` has when, by id. Reads of `collection` see all of them: it has their
    tokens.
    """

    collection: Collection
    prefix: str
    row: Callable[[int], dict[str, Any]] = article
    acknowledged: dict[str, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Until the block is left."""
        over = threading.Event()
        thread = threading.Thread(target=self._write_until, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=90)
            assert not thread.is_alive(), "a write still waits"

    @property
    def longest_pause(self) -> float:
        """Seconds between two acknowledgements."""
        times = list(self.acknowledged.values())
        return max(after - before for before, after in pairwise(times))

    def _write_until(self, over: threading.Event) -> None:
        number = 0
        while not over.is_set():
            name = f"{self.prefix}-{number}"
            try:
                self.collection.upsert([{"id": name, **self.row(number)}])
                self.acknowledged[name] = time.monotonic()
            except (VectorsError, httpx.HTTPError) as error:
                self.refused.append(f"{name}: {error!r}")
            number += 1
            time.sleep(0.02)


def test_a_collection_of_shards_and_replicas_becomes_ready(live: Live) -> None:
    until(lambda: live.status()["phase"] == "Ready")
    shards = live.plane.biplane("vectors", "describe", "articles")["shards"]
    assert [len(shard["replicas"]) for shard in shards] == [3, 3]
    for shard in shards:
        assert sorted(one["state"] for one in shard["replicas"]) == ["follows", "follows", "leads"]


def test_rows_are_found_by_vector_text_words_and_filter(live: Live) -> None:
    articles = live.articles
    assert articles.upsert(ARTICLES) == len(ARTICLES)
    (soup,) = articles.fetch(["soup", "nothing"], ["vector", "metadata"])
    assert soup["metadata"] == ARTICLES[2]["metadata"]

    assert names(articles.search(soup["vector"], k=1).results[0]) == ["soup"]
    assert names(articles.search(text="a kitten on a carpet", k=1).results[0]) == ["cat"]
    assert names(articles.search(text="a kitten", filter={"year": {"$lt": 1980}}).results[0]) == ["moon"]
    words = {"text": "zorgon"}
    assert names(articles.search(hybrid=words).results[0]) == ["bill"]
    both = articles.search(text="travel in space", hybrid=words, k=2, include=["metadata"])
    assert names(both.results[0]) == ["bill", "moon"]  # the one that both rankings have comes first
    assert both.results[0][0].metadata["body"] == ARTICLES[3]["text"]
    assert not both.partial


def test_rows_change_and_go_and_are_counted(live: Live) -> None:
    articles = live.articles
    articles.update([{"id": "soup", "metadata": {"year": None, "body": "Arugula and other salads"}}])
    (soup,) = articles.fetch(["soup"])
    assert soup["metadata"] == {"body": "Arugula and other salads"}
    assert names(articles.search(text="green leaves to eat", k=1).results[0]) == ["soup"]  # it is embedded anew
    assert names(articles.search(hybrid={"text": "tomato"}).results[0]) == []
    assert names(articles.search(hybrid={"text": "arugula"}).results[0]) == ["soup"]

    articles.delete(["cat"])
    assert articles.delete(filter={"year": 2020}) == 1
    assert [row["id"] for row in articles.scroll(limit=1)] == ["moon"]
    assert [row["id"] for row in articles.scroll(after="moon")] == ["soup"]
    assert articles.count() == 2
    assert articles.count({"tags": "space"}) == 1


def test_bad_input_is_refused_with_its_row_and_field(live: Live) -> None:
    good, bad = {"id": "a", "vector": axis(0)}, {"id": "b", "vector": axis(1), "metadata": {"year": "soon"}}
    with pytest.raises(VectorsError, match=r"points\[1\]\.metadata\.year: 'soon'; expected a whole number") as refused:
        live.articles.upsert([good, bad])
    assert refused.value.status == 400
    with pytest.raises(VectorsError, match=r"points\[0\]\.vector: 2 numbers; expected 384"):
        live.articles.upsert([{"id": "a", "vector": [1, 2]}])
    assert live.articles.fetch(["a", "b"]) == []


def test_a_key_for_other_models_is_refused(live: Live) -> None:
    secret = live.plane.biplane("gateway", "keys", "create", "stranger", "--model", "vectors/films")["key"]
    with Vectors(live.plane.client.settings.gateway_url, secret) as stranger:

        def status() -> int:
            try:
                stranger.collection("articles").count()
            except VectorsError as error:
                return error.status
            return 200

        until(lambda: status() != 401, seconds=5)  # it is not known to every gateway yet
        assert status() == 403


def test_a_file_is_imported_and_exported_again(live: Live, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((IMPORTED, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = {
        "doc": [f"row-{number:04}" for number in range(IMPORTED)],
        "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), DIMENSION),
        "year": np.arange(IMPORTED),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    told = live.plane.biplane("vectors", "import", "articles", str(tmp_path / "in.parquet"), "--id", "doc")
    assert [one["rows"] for one in told["files"]] == [IMPORTED]

    only = '{"year": {"$lt": 1000}}'
    told = live.plane.biplane("vectors", "export", "articles", str(tmp_path / "out.parquet"), "--filter", only)
    assert told["rows"] == IMPORTED
    out = pq.read_table(tmp_path / "out.parquet")
    assert out["id"].to_pylist() == columns["doc"]
    assert out["year"].to_pylist() == list(range(IMPORTED))
    np.testing.assert_allclose(np.array(out["vector"].to_pylist()), vectors, atol=1e-6)


def test_no_acknowledged_write_is_lost_when_a_leader_is_killed(live: Live) -> None:
    writer = Writer(live.articles, "first")
    shard = live.status()["shards"][0]
    with writer.writing():
        until(lambda: len(writer.acknowledged) > 20)
        sigkill(live.process(shard["shard"], shard["leader"]).pid)
        killed = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > killed + 50)
    assert writer.longest_pause < RECOVERY_SECONDS, writer.refused
    assert {row["id"] for row in live.articles.fetch(list(writer.acknowledged))} == set(writer.acknowledged)


def test_a_replica_that_does_not_answer_is_explained_and_blocks_nothing(live: Live) -> None:
    until(lambda: live.status()["phase"] == "Ready")
    shard = live.status()["shards"][1]
    away = next(number for number in shard["members"] if number != shard["leader"])
    stopped = live.process(1, away)
    stopped.send_signal(signal.SIGSTOP)
    try:
        until(lambda: live.status()["phase"] == "Degraded")
        told = live.plane.biplane("explain", "collection/articles")["findings"]
        assert (
            told[0]["reason"]
            == f"shard 1: replica {away}: its process does not answer; Ray starts it again where it died"
        )
        live.articles.upsert([{"id": f"away-{number}", "vector": axis(number)} for number in range(20)])
        assert len(live.articles.fetch([f"away-{number}" for number in range(20)])) == 20
    finally:
        stopped.send_signal(signal.SIGCONT)
    until(lambda: live.status()["phase"] == "Ready")


def test_rows_move_to_more_shards_while_clients_write_and_a_new_leader_is_killed(live: Live, tmp_path: Path) -> None:
    films, ids = live.vectors.collection("films"), [f"old-{number}" for number in range(3000)]
    films.upsert([{"id": one, **film(number)} for number, one in enumerate(ids)])
    films.delete(ids[:100])
    document = "apiVersion: biplane/v1\nkind: Collection\nmetadata: {name: films}\nspec: {dimension: 2, shards: %d}\n"
    writer = Writer(films, "new", film)
    with writer.writing():
        live.plane.apply(document % 2)
        until(lambda: any(shard["leader"] is not None for shard in live.status("films").get("move", ())[:1]))
        sigkill(live.process(1, 0, "films").pid)
        (tmp_path / "three.yaml").write_text(document % 3)
        refused = live.plane.run("scripts.cli", "apply", "-f", str(tmp_path / "three.yaml"))
        assert "spec.shards: 3 shards, while rows move from 1 to 2" in refused.stderr + refused.stdout
        while len(live.status("films")["shards"]) == 1:
            found = films.search([1, 0], k=5)
            assert (len(found.results[0]), found.partial) == (5, False)
            time.sleep(0.1)
        moved = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > moved + 20)
    assert writer.longest_pause < MOVE_SECONDS, writer.refused
    until(lambda: live.status("films")["phase"] == "Ready")
    assert [shard["shard"] for shard in live.status("films")["shards"]] == [1, 2]
    wanted = set(ids[100:]) | set(writer.acknowledged)
    assert {row["id"] for row in films.scroll(limit=10_000)} == wanted
    assert films.count() == len(wanted)


def test_a_new_field_is_used_and_is_there_after_a_leader_was_killed(live: Live) -> None:
    before = "    - {name: year, type: integer}\n"
    live.plane.apply(DOCUMENT.partition("---")[0].replace(before, f"{before}    - {{name: stars, type: integer}}\n"))
    until(lambda: succeeds(lambda: live.articles.update([{"id": "moon", "metadata": {"stars": 5}}])))
    shard = live.status()["shards"][0]
    sigkill(live.process(shard["shard"], shard["leader"]).pid)
    rated = [{"id": "stars", "vector": axis(1), "metadata": {"stars": 5}}]
    until(lambda: succeeds(lambda: live.articles.upsert(rated)))  # each API reads the table twice a second
    time.sleep(1.0)
    assert [row["id"] for row in live.articles.scroll(filter={"stars": 5})] == ["moon", "stars"]
    assert live.articles.fetch(["soup"])[0]["metadata"] == {"body": "Arugula and other salads"}


def test_with_every_control_actor_dead_a_dead_replica_stops_nothing(live: Live) -> None:
    shard = live.status()["shards"][0]
    follower = next(number for number in shard["members"] if number != shard["leader"])
    victim = live.process(0, follower)
    writer = Writer(live.articles, "second")
    with writer.writing():
        until(lambda: len(writer.acknowledged) > 5)
        for actor in processes(live.plane, "ray::ControlActor"):
            sigkill(actor.pid)
        sigkill(victim.pid)
        for _ in range(20):
            found = live.articles.search(axis(0), k=3)
            assert len(found.results[0]) == 3
            assert not found.partial, found.missing
            time.sleep(0.1)
        killed = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > killed + 20, seconds=RECOVERY_SECONDS)
    assert writer.refused == []
    assert {row["id"] for row in live.articles.fetch(list(writer.acknowledged))} == set(writer.acknowledged)


def test_a_deleted_collection_comes_back_from_its_snapshot(live: Live, tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'snapshot'}"
    before = live.articles.scroll(limit=5000, include=["metadata", "vector"])
    live.plane.biplane("vectors", "optimise", "articles")
    assert live.plane.biplane("vectors", "snapshot", "articles", url)["rows"] == len(before)

    live.plane.biplane("vectors", "delete", "articles", "--yes")
    until(lambda: not live.directories())
    live.plane.biplane("vectors", "restore", "again", url)
    again = live.vectors.collection("again")
    until(lambda: succeeds(again.count))
    assert again.scroll(limit=5000, include=["metadata", "vector"]) == before
    assert names(again.search(hybrid={"text": "arugula"}).results[0]) == ["soup"]
    until(lambda: succeeds(lambda: again.search(text="is the embedder there?")))  # it went with the articles
    assert names(again.search(text="green leaves to eat", k=1).results[0]) == ["soup"]
