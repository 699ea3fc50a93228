"""Texts and images made into vectors by a collection's embedding model. Holds no state but connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.vectors.rows import Floats
from control.specs.collection import MINILM, CollectionSpec
from serve_apps.gateway.errors import SERVER, ApiError
from serve_apps.vectors.refusals import RETRY, invalid

AT_ONCE = 32
"""Texts in one call, so that a query waits behind no long batch of rows."""
EmbedTexts = Callable[[Sequence[str], float], Floats]
"""Asks the plane's embedder, which has so many seconds. It blocks: it is called in a thread."""


@dataclass(frozen=True, slots=True)
class Input:
    """A text, or where it is empty an image: its address, or its bytes in base64. `path` leads to it in the body."""

    path: str
    text: str = ""
    image: str = ""


class Model(Protocol):
    """One that is deployed here."""

    async def embed(self, model: str, inputs: Sequence[Input], deadline: float) -> list[list[float]]:
        """A vector for each input. Raises ApiError."""
        ...


class Embedding:
    def __init__(self, minilm: EmbedTexts, served: Model) -> None:
        self._minilm = minilm
        self._served = served

    async def embed(self, inputs: Sequence[Input], spec: CollectionSpec, deadline: float) -> list[list[float]]:
        """A vector of the collection's dimension for each input. Raises ApiError, 400 where they have another one."""
        assert spec.embedding is not None, "who asks has looked"
        model, found = spec.embedding.model, []
        for start in range(0, len(inputs), AT_ONCE):
            part = inputs[start : start + AT_ONCE]
            if model == MINILM:
                found += await self._by_minilm(part, deadline)
            else:
                found += await self._served.embed(model, part, deadline)
        for one in found:
            if len(one) != spec.dimension:
                message = f"{model} makes vectors of {len(one)} dimensions; the collection has {spec.dimension}"
                raise ApiError(400, "dimension_mismatch", f"{inputs[0].path}: {message}.", param=inputs[0].path)
        return found

    async def _by_minilm(self, inputs: Sequence[Input], deadline: float) -> list[list[float]]:
        for one in inputs:
            if one.image:
                raise invalid(one.path, "an image", f"text: {MINILM} reads no images")
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout_at(deadline):
                vectors = await asyncio.to_thread(self._minilm, [one.text for one in inputs], left_s)
        except Exception as error:  # Ray's, of whatever kind: the actor is starting, dead, or too slow
            why = type(error).__name__
            reason = f"The embedder {MINILM} does not answer ({why}), and nothing was written. Try again."
            raise ApiError(503, "embedding_unavailable", reason, kind=SERVER, headers=RETRY) from error
        lists: list[list[float]] = vectors.tolist()
        return lists
