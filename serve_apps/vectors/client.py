"""The Python client of the vectors API: plain lists and dictionaries in and out, NumPy arrays where there are many.

Stores nothing but the tokens of its own writes, so that its searches see them (`read your writes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import numpy as np
import pyarrow as pa

from control.specs.collection import CollectionSpec

ARROW_STREAM, JSON = "application/vnd.apache.arrow.stream", "application/json"
TIMEOUT_SECONDS = 60.0
Id = int | str


class VectorsError(Exception):
    """What the API answered. `code` names the kind of error, `status` is HTTP's; the message names row and field."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Hit:
    """`score` is greater the nearer, but with metric l2 the distance. `metadata` and `vector` where asked for."""

    id: Id
    score: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vector: Sequence[float] | None = None


@dataclass(frozen=True)
class Found:
    """The hits of each query. `partial`: some shards did not answer in time, `missing` says which and why."""

    results: tuple[tuple[Hit, ...], ...]
    partial: bool
    missing: Mapping[str, str]


class Vectors:
    """The vectors API of a plane at `url` (the gateway's), with an API key.

    >>> with Vectors("http://127.0.0.1:8000", key) as vectors:
    ...     vectors.collection("docs").search(text="how do I start?", k=3)
    """

    def __init__(self, url: str, key: str, timeout_s: float = TIMEOUT_SECONDS) -> None:
        headers = {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/vectors/v1", headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def collections(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.ask("GET", "/collections")["collections"]
        return listed

    def collection(self, name: str) -> Collection:
        return Collection(self, name)

    def ask(self, method: str, path: str, json: Any = None, content: bytes | None = None) -> dict[str, Any]:
        """Raises VectorsError for an error that the API answers, httpx.HTTPError where it does not answer."""
        kind = JSON if content is None else ARROW_STREAM
        body = msgspec.json.encode(json) if json is not None else content
        answer = self._http.request(method, path, content=body, headers={"content-type": kind})
        if answer.is_success:
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        try:
            error = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            error = {"code": "", "message": answer.text[:500]}
        raise VectorsError(answer.status_code, str(error.get("code")), str(error.get("message")))


class Collection:
    """One collection. Its methods raise as `Vectors.ask` does."""

    def __init__(self, vectors: Vectors, name: str) -> None:
        self.name = name
        self._vectors = vectors
        self._seen: dict[str, int] = {}  # by shard, how far its log was

    def describe(self) -> dict[str, Any]:
        return self._vectors.ask("GET", f"/collections/{self.name}")

    def upsert(self, points: Sequence[Mapping[str, Any]], acknowledge: str | None = None) -> int:
        """Points have an `id`, a `vector` (or the text that it is made of) and `metadata`; how many there were."""
        return int(self._write("points", {"points": list(points)}, acknowledge)["upserted"])

    def upsert_table(self, table: pa.Table | pa.RecordBatch) -> int:
        """Many at once, as Arrow: `id`, `vector` and the fields. It is acknowledged as the collection says."""
        return int(self._ask("POST", "points", content=stream_of(table))["upserted"])

    def update(self, points: Sequence[Mapping[str, Any]], acknowledge: str | None = None) -> int:
        """The given fields of the metadata change; None takes one away. How many rows there were to change."""
        return int(self._write("points", {"points": list(points)}, acknowledge, method="PATCH")["updated"])

    def delete(
        self, ids: Sequence[Id] = (), filter: Mapping[str, Any] | None = None, acknowledge: str | None = None
    ) -> int | None:
        """Those of `ids`, or all that match `filter`: then it says how many there were."""
        body = {"ids": list(ids)} if filter is None else {"filter": filter}
        return self._write("points/delete", body, acknowledge).get("deleted")

    def search(
        self,
        vector: Sequence[float] | np.ndarray[Any, Any] | None = None,
        *,
        vectors: np.ndarray[Any, Any] | Sequence[Sequence[float]] | None = None,
        text: str | None = None,
        k: int = 10,
        **asked: Any,
    ) -> Found:
        """The `k` nearest of each. `asked` may have `filter`, `offset`, `threshold`, `include`, `level`, `tuning`,
        `hybrid`, `fuse` and `timeout_ms`, as the API has them.
        """
        given = {"vector": _plain(vector), "vectors": _plain(vectors), "text": text}
        told = self._read("search", {**given, "k": k, **asked})
        results = tuple(tuple(Hit(**hit) for hit in hits) for hits in told["results"])
        return Found(results, told["partial"], told["missing"])

    def fetch(self, ids: Sequence[Id], include: Sequence[str] = ("metadata",)) -> list[dict[str, Any]]:
        """Those that are there, in the order of `ids`."""
        return self._points("points/fetch", {"ids": list(ids), "include": list(include)})

    def scroll(
        self,
        filter: Mapping[str, Any] | None = None,
        after: Id | None = None,
        limit: int = 100,
        include: Sequence[str] = ("metadata",),
    ) -> list[dict[str, Any]]:
        """The next ones by id; fewer than `limit` are the last."""
        body = {"filter": filter, "after": after, "limit": limit, "include": list(include)}
        return self._points("points/scroll", body)

    def count(self, filter: Mapping[str, Any] | None = None) -> int:
        return int(self._read("points/count", {"filter": filter})["count"])

    def _points(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = self._read(path, body)["points"]
        return points

    def _read(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        given = {"token": ",".join(f"{shard}:{seq}" for shard, seq in self._seen.items()) or None, **body}
        asked = {name: value for name, value in given.items() if value is not None}
        return self._vectors.ask("POST", f"/collections/{self.name}/{path}", asked)

    def _write(
        self, path: str, body: Mapping[str, Any], acknowledge: str | None, method: str = "POST"
    ) -> dict[str, Any]:
        return self._ask(method, path, body if acknowledge is None else {**body, "acknowledge": acknowledge})

    def _ask(self, method: str, path: str, json: Any = None, content: bytes | None = None) -> dict[str, Any]:
        told = self._vectors.ask(method, f"/collections/{self.name}/{path}", json, content)
        for pair in filter(None, told.get("token", "").split(",")):
            shard, _, seq = pair.partition(":")
            self._seen[shard] = max(int(seq), self._seen.get(shard, 0))
        return told


def spec_of(described: Mapping[str, Any]) -> CollectionSpec:
    """Of what `Collection.describe` gives."""
    return CollectionSpec.model_validate({name: value for name, value in described.items() if name != "name"})


def stream_of(table: pa.Table | pa.RecordBatch) -> bytes:
    """As the API takes it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write(table)
    return bytes(sink.getvalue().to_pybytes())


def _plain(vectors: Any) -> Any:
    return vectors.tolist() if isinstance(vectors, np.ndarray) else vectors
