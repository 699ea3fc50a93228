"""The vectors API over shards that are a dictionary, asked without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any

import httpx
import numpy as np
import uvloop

from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from serve_apps.vectors.app import Vectors
from serve_apps.vectors.embedding import Embedding, Input
from tests.fakes.vector_shards import FakeShards

FIELDS: list[dict[str, Any]] = [
    {"name": "title", "type": "text"},
    {"name": "year", "type": "integer"},
    {"name": "rating", "type": "float", "index": False},
    {"name": "tags", "type": "keyword", "many": True},
    {"name": "seen", "type": "boolean"},
    {"name": "shown", "type": "datetime"},
    {"name": "place", "type": "geo"},
]


def spec_of(**changes: Any) -> CollectionSpec:
    return CollectionSpec.model_validate({"dimension": 2, "fields": FIELDS, **changes})


def words_vector(text: str, dimension: int = 2) -> list[float]:
    """An embedding: of equal texts equal ones."""
    return [float(len(text) % 7 + 1), *(float(ord(text[0]) % 5) for _ in range(dimension - 1))]


class FakeModel:
    """Embeds texts by `words_vector` and images by their length; `dimension` is its own."""

    def __init__(self, dimension: int = 2) -> None:
        self.dimension = dimension
        self.inputs: list[Input] = []

    async def embed(self, model: str, inputs: Sequence[Input], deadline: float) -> list[list[float]]:
        self.inputs += inputs
        return [words_vector(one.text or one.image, self.dimension) for one in inputs]


def minilm(texts: Sequence[str], seconds: float) -> Floats:
    return np.array([words_vector(text, 384) for text in texts], np.float32)


class Api:
    def __init__(self, **specs: CollectionSpec) -> None:
        self.shards = FakeShards(**(specs or {"films": spec_of()}))
        self.model = FakeModel()
        self.use(Embedding(minilm, self.model))

    def use(self, embedding: Embedding) -> None:
        self.app = Vectors(self.shards, embedding)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://vectors")

    async def ask(self, path: str, body: Any, method: str = "POST", status: int = 200) -> Any:
        """The document that it answers; `path` is below the collections."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.client.request(method, f"/vectors/v1/collections/{path}", content=content)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refused(self, path: str, body: Any, method: str = "POST", status: int = 400) -> str:
        """The message of the refusal, whose shape is that of all."""
        error = (await self.ask(path, body, method, status))["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return str(error["message"])

    async def put(self, *points: dict[str, Any], collection: str = "films", **more: Any) -> Any:
        return await self.ask(f"{collection}/points", {"points": list(points), **more})


def run(story: Coroutine[Any, Any, None], seconds: float = 20) -> None:
    uvloop.run(asyncio.wait_for(story, seconds))
