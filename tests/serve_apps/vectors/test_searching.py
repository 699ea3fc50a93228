"""Searches: results with scores as people know them, pages, rankings made one, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.vectors.query import Level, Query, TextQuery, Tuning
from tests.serve_apps.vectors.api import Api, run, spec_of

ROWS: list[dict[str, Any]] = [
    {"id": "east", "vector": [1, 0], "metadata": {"title": "the far east", "year": 1}},
    {"id": "north", "vector": [0, 2], "metadata": {"title": "the high north", "year": 2}},
    {"id": "west", "vector": [-3, 0], "metadata": {"title": "the wild west", "year": 3}},
    {"id": "northeast", "vector": [4, 4], "metadata": {"title": "between north and east", "year": 4}},
]


async def filled(**changes: Any) -> Api:
    api = Api(films=spec_of(**changes))
    await api.put(*ROWS)
    api.shards.asked.clear()
    return api


async def ids(api: Api, **body: Any) -> list[list[str]]:
    found = await api.ask("films/search", {"include": [], **body})
    return [[hit["id"] for hit in one] for one in found["results"]]


def test_a_search_finds_the_nearest_with_their_metadata() -> None:
    async def story() -> None:
        api = await filled()
        found = await api.ask("films/search", {"vector": [2, 0], "k": 2})
        assert found["results"] == [
            [
                {"id": "east", "score": 1.0, "metadata": ROWS[0]["metadata"]},
                {"id": "northeast", "score": pytest.approx(0.7071, abs=1e-4), "metadata": ROWS[3]["metadata"]},
            ]
        ]
        assert (found["partial"], found["missing"]) == (False, {})

    run(story())


@pytest.mark.parametrize(
    ("metric", "threshold", "expected"),
    [
        ("cosine", 0.7, [("east", 1.0), ("northeast", 0.70710677)]),
        ("ip", 1.0, [("northeast", 4.0), ("east", 1.0)]),
        ("l2", 4.0, [("east", 0.0), ("north", 2.236068), ("west", 4.0)]),
        ("l2", 2.236068, [("east", 0.0), ("north", 2.236068)]),
    ],
)
def test_scores_and_thresholds_are_the_metric_s_own(
    metric: str, threshold: float, expected: list[tuple[str, float]]
) -> None:
    async def story() -> None:
        api = await filled(metric=metric)
        found = await api.ask("films/search", {"vector": [1, 0], "threshold": threshold, "include": []})
        assert [(hit["id"], hit["score"]) for hit in found["results"][0]] == expected

    run(story())


def test_numbers_are_written_with_no_more_digits_than_they_have() -> None:
    async def story() -> None:
        api = await filled()
        answer = await api.client.post("/vectors/v1/collections/films/search", json={"vector": [1, 1], "k": 1})
        assert b'"score":0.99999994' in answer.content or b'"score":1.0,' in answer.content
        body = {"ids": ["northeast"], "include": ["vector"]}
        answer = await api.client.post("/vectors/v1/collections/films/points/fetch", json=body)
        assert b"[0.70710677,0.70710677]" in answer.content

    run(story())


def test_pages_of_a_search_join_without_gaps() -> None:
    async def story() -> None:
        api = await filled()
        pages = [(await ids(api, vector=[1, 0.1], k=2, offset=offset))[0] for offset in (0, 2, 4)]
        assert pages == [["east", "northeast"], ["north", "west"], []]

    run(story())


def test_several_vectors_are_answered_one_by_one_or_as_one_request() -> None:
    async def story() -> None:
        api = await filled()
        vectors = [[1, 0], [0, 1]]
        assert await ids(api, vectors=vectors, k=2) == [["east", "northeast"], ["north", "northeast"]]
        assert await ids(api, vectors=vectors, k=1, offset=1) == [["northeast"], ["northeast"]]
        [fused] = await ids(api, vectors=vectors, k=3, threshold=0.5, fuse=True)
        assert (fused[0], set(fused[1:])) == ("northeast", {"east", "north"})

    run(story())


def test_a_hybrid_search_fuses_words_and_vectors_and_brings_the_metadata_of_both() -> None:
    async def story() -> None:
        api = await filled()
        body = {"vector": [1, 0], "k": 2, "hybrid": {"text": "wild north"}, "threshold": 0.9}
        [found] = (await api.ask("films/search", body))["results"]
        near, words = api.shards.asked[0], api.shards.asked[2]
        assert isinstance(near, Query)
        assert isinstance(words, TextQuery)
        assert words.fields == ("title",)
        assert [hit["id"] for hit in found] == ["east", "north"]
        assert found[0]["score"] == pytest.approx(1 / 61)
        assert found[1]["metadata"]["title"] == "the high north"

    run(story())


def test_words_alone_are_a_search() -> None:
    async def story() -> None:
        api = await filled()
        assert await ids(api, hybrid={"text": "wild"}) == [["west"]]

    run(story())


def test_what_a_search_asks_of_the_shards_is_what_its_client_said() -> None:
    async def story() -> None:
        api = await filled()
        tuning = {"ef_search": 80, "nprobe": 3, "rerank": 4, "exact": True}
        more = {"tuning": tuning, "level": "quorum", "token": "0:1,0:3,0:2", "include": ["vector"]}
        body = {"vector": [3, 4], "k": 7, **more}
        await api.ask("films/search", body)
        query, tokens = api.shards.asked
        np.testing.assert_allclose(query.vectors, [[0.6, 0.8]], rtol=1e-6)
        assert (query.k, query.columns, query.level) == (7, ("vector",), Level.QUORUM)
        assert query.tuning == Tuning(80, 3, 4, True)
        assert tokens == {0: 3}

    run(story())


def test_an_answer_of_some_shards_says_which_are_missing_and_why() -> None:
    async def story() -> None:
        api = await filled()
        api.shards.missing = {3: "its replicas did not answer"}
        found = await api.ask("films/search", {"vector": [1, 0]})
        assert (found["partial"], found["missing"]) == (True, {"3": "its replicas did not answer"})

    run(story())


def test_a_search_s_token_is_how_far_each_shard_was_and_keeps_what_the_client_had_seen_of_others() -> None:
    async def story() -> None:
        api = Api(films=spec_of(shards=2))
        await api.put(*ROWS)
        await api.put(*ROWS)
        assert (await api.ask("films/search", {"vector": [1, 0]}))["token"] == "0:2"
        assert (await api.ask("films/search", {"vector": [1, 0], "token": "0:1,1:7"}))["token"] == "0:2,1:7"
        hybrid = {"vector": [1, 0], "hybrid": {"text": "wild"}}
        assert (await api.ask("films/search", hybrid))["token"] == "0:2"

    run(story())


def test_a_filter_on_a_field_without_an_index_is_noted() -> None:
    async def story() -> None:
        api = await filled()
        found = await api.ask("films/search", {"vector": [1, 0], "filter": {"rating": 3}})
        assert "'rating' has no index" in found["notes"][0]
        assert "notes" not in await api.ask("films/search", {"vector": [1, 0], "filter": {"year": 3}})

    run(story())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "vector: nothing to search by; expected one of vector, vectors, text, image; or hybrid"),
        ({"vector": [1, 0], "text": "x"}, "text: vector and text; expected one of"),
        ({"vector": [1, 0, 0]}, "vector: 3 numbers; expected 2"),
        ({"vectors": [[1, 0], [1]]}, "vectors[1]: 1 numbers; expected 2"),
        ({"vectors": [[1, 0], [0, 0]]}, "vectors[1]: a vector of zeros"),
        ({"vectors": []}, "vectors: expected `array` of length >= 1"),
        ({"vector": [1, 0], "k": 0}, "k: expected `int` >= 1"),
        ({"vector": [1, 0], "k": -1}, "k: expected `int` >= 1"),
        ({"vector": [1, 0], "k": 10_001}, "k: expected `int` <= 10000"),
        ({"vector": [1, 0], "k": 9_000, "offset": 1_001}, "offset: k and offset of 10001 together; expected at most"),
        ({"vectors": [[1, 0]] * 101, "k": 10_000}, "k: 1010000 rows for all vectors together; expected at most"),
        ({"vector": [1, 0], "filter": {"jear": 3}}, "filter.jear: no field 'jear'"),
        ({"vector": [1, 0], "filter": {"year": "x"}}, "filter.year.$eq: 'x'; expected a whole number"),
        ({"vector": [1, 0], "filter": {"year": {"$near": 1}}}, "filter.year: '$near' on a field of type integer"),
        ({"vector": [1, 0], "filter": []}, "filter: expected `object`, got `array`"),
        ({"vector": [1, 0], "token": "x"}, "token: no token of this collection"),
        ({"vector": [1, 0], "token": "7:1"}, "token: no token of this collection"),
        ({"vector": [1, 0], "level": "all"}, "level: invalid enum value 'all'"),
        ({"vector": [1, 0], "threshold": "x"}, "threshold: expected `float | null`"),
        ({"vector": [1, 0], "tuning": {"ef": 1}}, "tuning: object contains unknown field `ef`"),
        ({"vector": [1, 0], "hybrid": {"text": "x", "fields": ["year"]}}, "hybrid.fields[0]: no text field 'year'"),
        ({"vector": [1, 0], "hybrid": {}}, "hybrid: object missing required field `text`"),
        ({"text": "x"}, "text: a collection without an embedding; expected vector; 'hybrid' finds words"),
        ({"image": "x"}, "image: a collection without an embedding; expected vector"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_with_the_place_and_what_was_expected(body: Any, message: str) -> None:
    async def story() -> None:
        api = await filled()
        assert message in await api.refused("films/search", body)
        assert not api.shards.asked

    run(story())


def test_a_distance_cannot_be_less_than_nothing() -> None:
    async def story() -> None:
        api = await filled(metric="l2")
        assert "threshold: -1.0; expected a distance" in await api.refused(
            "films/search", {"vector": [1, 0], "threshold": -1}
        )

    run(story())


def test_words_are_not_looked_for_where_there_are_no_texts() -> None:
    async def story() -> None:
        api = Api(films=spec_of(fields=[]))
        body = {"vector": [1, 0], "hybrid": {"text": "x"}}
        assert "hybrid: a collection without text fields" in await api.refused("films/search", body)
        await api.put({"id": "a", "vector": [1, 0]})
        found = await api.ask("films/search", {"vector": [1, 0]})
        assert found["results"] == [[{"id": "a", "score": 1.0, "metadata": {}}]]

    run(story())
