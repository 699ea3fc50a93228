"""Rows and queries with text or an image instead of a vector, where the collection has an embedding."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from control.engine_report import EngineReport
from serve_apps.gateway.errors import ApiError
from serve_apps.vectors.embedding import AT_ONCE, Embedding, Input
from serve_apps.vectors.served_embedding import ServedModels
from tests.serve_apps.gateway.upstream import INTERNAL_KEY, Engine, arm_of, engine_of, free_port, table
from tests.serve_apps.vectors.api import Api, FakeModel, minilm, run, spec_of, words_vector

CLIP = {"model": "clip", "field": "title"}


def stored(api: Api, one: str) -> Any:
    return api.shards.rows["films"][one]


def unit(text: str) -> Any:
    return np.array(words_vector(text)) / np.linalg.norm(words_vector(text))


def test_rows_with_text_get_its_vector_and_keep_the_text() -> None:
    async def story() -> None:
        api = Api(films=spec_of(embedding=CLIP))
        await api.put(
            {"id": "a", "text": "a far country", "metadata": {"year": 3}},
            {"id": "b", "vector": [0, 1], "text": "kept, not embedded"},
            {"id": "c", "metadata": {"title": "in its metadata"}},
        )
        assert [one.text for one in api.model.inputs] == ["a far country", "in its metadata"]
        assert (stored(api, "a")["title"], stored(api, "a")["year"]) == ("a far country", 3)
        np.testing.assert_allclose(stored(api, "a")["vector"], unit("a far country"), atol=1e-6)
        assert (stored(api, "b")["title"], stored(api, "b")["vector"]) == ("kept, not embedded", [0, 1])
        found = await api.ask("films/search", {"text": "a far country", "k": 1, "include": []})
        assert found["results"][0][0]["id"] == "a"

    run(story())


def test_an_image_is_embedded_as_a_text_is() -> None:
    async def story() -> None:
        api = Api(films=spec_of(embedding=CLIP))
        await api.put({"id": "a", "image": "https://pictures.example/a.png", "metadata": {"title": "told apart"}})
        await api.ask("films/search", {"image": "aGVsbG8="})
        assert [one.image for one in api.model.inputs] == ["https://pictures.example/a.png", "aGVsbG8="]

    run(story())


def test_a_changed_text_changes_the_vector_that_was_made_of_it() -> None:
    async def story() -> None:
        api = Api(films=spec_of(embedding=CLIP))
        await api.put({"id": "a", "text": "the old one"}, {"id": "b", "text": "the other one"})
        before = stored(api, "b")["vector"]
        changes = [{"id": "a", "metadata": {"title": "quite new"}}, {"id": "b", "metadata": {"year": 4}}]
        await api.ask("films/points", {"points": changes}, "PATCH")
        np.testing.assert_allclose(stored(api, "a")["vector"], unit("quite new"), atol=1e-6)
        assert (stored(api, "b")["vector"], stored(api, "b")["year"]) == (before, 4)

    run(story())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"id": "a"}, "points[0]: no vector and no text; expected vector, text, image, or metadata.title"),
        ({"id": "a", "text": ""}, "points[0]: no vector and no text"),
        ({"id": "a", "metadata": {"titel": "x"}}, "points[0].metadata.titel: no field 'titel'; expected one of title"),
        ({"id": "a", "image": ""}, "points[0].image: nothing; expected an address or base64"),
        ({"id": "a", "metadata": {"title": 3}}, "points[0]: no vector and no text"),
    ],
)
def test_a_row_without_anything_to_embed_is_refused(body: Any, message: str) -> None:
    async def story() -> None:
        assert message in await Api(films=spec_of(embedding=CLIP)).refused("films/points", {"points": [body]})

    run(story())


def test_vectors_of_another_dimension_are_refused_with_the_reason() -> None:
    async def story() -> None:
        api = Api(films=spec_of(embedding=CLIP))
        api.model.dimension = 3
        message = await api.refused("films/points", {"points": [{"id": "a", "text": "x"}]})
        assert "points[0].metadata.title: clip makes vectors of 3 dimensions; the collection has 2" in message

    run(story())


def test_minilm_embeds_texts_a_few_at_a_time_and_no_images() -> None:
    async def story() -> None:
        batches: list[int] = []

        def counted(texts: Any, seconds: float) -> Any:
            batches.append(len(texts))
            return minilm(texts, seconds)

        api = Api(films=spec_of(dimension=384, embedding={"field": "title"}))
        api.use(Embedding(counted, FakeModel()))
        rows = [{"id": str(n), "text": f"row {n}"} for n in range(2 * AT_ONCE + 1)]
        assert (await api.put(*rows))["upserted"] == len(rows)
        assert batches == [AT_ONCE, AT_ONCE, 1]
        assert "minilm reads no images" in await api.refused("films/search", {"image": "x"})

    run(story())


def test_an_embedder_that_is_away_is_told_as_such() -> None:
    async def story() -> None:
        def away(texts: Any, seconds: float) -> Any:
            raise ValueError("there is no such actor")

        api = Api(films=spec_of(dimension=384, embedding={"field": "title"}))
        api.use(Embedding(away, FakeModel()))
        assert "embedder minilm does not answer" in await api.refused("films/search", {"text": "x"}, status=503)
        assert "embedder minilm does not answer" in await api.refused(
            "films/points", {"points": [{"id": "a", "text": "x"}]}, status=503
        )
        assert not api.shards.rows["films"]

    run(story())


def test_a_write_whose_text_is_not_embedded_in_time_is_known_not_to_be_written() -> None:
    async def story() -> None:
        come = threading.Event()

        def late(texts: Any, seconds: float) -> Any:
            come.wait(10)
            return minilm(texts, seconds)

        api = Api(films=spec_of(dimension=384, embedding={"field": "title"}))
        api.use(Embedding(late, FakeModel()))
        body = {"points": [{"id": "a", "text": "x"}], "timeout_ms": 30}
        assert "(TimeoutError), and nothing was written" in await api.refused("films/points", body, status=503)
        come.set()
        assert not api.shards.rows["films"]

    run(story())


async def embeddings(request: web.Request) -> web.StreamResponse:
    """As vLLM: of a chat one vector."""
    body = await request.json()
    inputs = body.get("input", ["image"])
    data = [{"index": n, "embedding": [float(n), 1.0, len(text)]} for n, text in enumerate(inputs)]
    return web.json_response({"object": "list", "data": data[::-1], "usage": {"prompt_tokens": 3}})


def models(engine: Engine, *more: str) -> ServedModels:
    """`clip` is served by the engine, and by others that are named in the table at their addresses."""
    urls = [engine.url.removesuffix("/llm/tiny/3"), *more]
    replicas = [(f"app{n}", "http://127.0.0.1:9/llm") for n in range(len(urls))]
    raw = table("", models={"clip": {"arms": [arm_of(*replicas)]}})
    reports = {f"app{n}": (EngineReport(url), 1.0) for n, url in enumerate(urls)}
    return ServedModels(lambda: raw, lambda: reports, INTERNAL_KEY)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def test_a_deployed_model_is_asked_at_its_own_server_with_the_internal_key() -> None:
    async def story() -> None:
        async with engine_of(embeddings, "") as engine:
            served = models(engine)
            await served.refresh()
            inputs = [Input("points[0]", "ab"), Input("points[1]", image="aGk="), Input("points[2]", "abc")]
            found = await served.embed("clip", inputs, soon())
            assert found == [[0.0, 1.0, 2.0], [0.0, 1.0, 5.0], [1.0, 1.0, 3.0]]
            assert engine.headers[0]["authorization"] == f"Bearer {INTERNAL_KEY}"
            texts, image = map(json.loads, engine.bodies)
            assert texts == {"model": "clip", "input": ["ab", "abc"], "encoding_format": "float"}
            [part] = image["messages"][0]["content"]
            assert part == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
            served.close()

    run(story())


def test_an_engine_that_cannot_be_reached_is_passed_over() -> None:
    async def story() -> None:
        async with engine_of(embeddings, "") as engine:
            served = models(engine, f"http://127.0.0.1:{free_port()}")
            await served.refresh()
            for _ in range(4):
                assert await served.embed("clip", [Input("text", "x")], soon()) == [[0.0, 1.0, 1.0]]
            served.close()

    run(story())


def test_a_model_that_is_not_deployed_or_answers_nonsense_is_told_as_such() -> None:
    async def story() -> None:
        async def nonsense(_: web.Request) -> web.StreamResponse:
            return web.json_response({"data": [{"index": 0, "embedding": "x"}]})

        async with engine_of(nonsense, "") as engine:
            served = models(engine)
            with pytest.raises(ApiError, match="where it is served is not known yet"):
                await served.embed("clip", [Input("text", "x")], soon())
            await served.refresh()
            with pytest.raises(ApiError, match="Did you mean 'clip'"):
                await served.embed("clipp", [Input("text", "x")], soon())
            with pytest.raises(ApiError, match="its answer has no embeddings"):
                await served.embed("clip", [Input("text", "x")], soon())
            served.close()

    run(story())
