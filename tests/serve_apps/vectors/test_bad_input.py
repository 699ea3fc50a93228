"""What no client should send: each is refused with a short message that names the place, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product

import pytest

from tests.serve_apps.vectors.api import FIELDS, Api, run, spec_of

NUMBERS = ["1e308", "-1e308", "1e400", "NaN", "-Infinity", "1e-320", "9" * 400, "9" * 5_000]
TEXTS = ['"\\ud800"', '"\\u0000"', '""', json.dumps("x" * 100_000)]
DEPTHS = [30, 990, 5_000]
INSTANTS = ['"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"', "253402300800", "-62135596801"]
NAMES = [str(field["name"]) for field in FIELDS]


def nested(depth: int) -> Iterator[str]:
    for left, right in (("[", "]"), ('{"$not":', "}"), ('{"$and":[', "]}"), ('{"year":{"$not":', "}}")):
        yield left * depth + "{}" + right * depth


def point(field: str, value: str) -> str:
    return f'{{"points":[{{"id":"a","vector":[1,2],"metadata":{{{field}:{value}}}}}]}}'


def searches(value: str) -> Iterator[tuple[str, str]]:
    """Bodies with the value wherever something is asked."""
    for name in ("threshold", "k", "offset", "filter", "token", "include", "tuning", "hybrid", "vector"):
        yield "search", f'{{"vector":[1,2],"{name}":{value}}}'
    yield "search", f'{{"vector":[1,{value}]}}'
    for name, operator in product(NAMES, ("$eq", "$gt", "$in", "$contains", "$geo_box", "$exists")):
        yield "search", f'{{"vector":[1,2],"filter":{{"{name}":{{"{operator}":{value}}}}}}}'
    for path, name in (("fetch", "ids"), ("delete", "ids"), ("count", "filter"), ("scroll", "after")):
        yield f"points/{path}", f'{{"{name}":{value}}}'


def bodies() -> Iterator[tuple[str, str]]:
    for value in [*NUMBERS, *TEXTS, *(one for depth in DEPTHS for one in nested(depth))]:
        yield from searches(value)
        for name in NAMES:
            yield "points", point(json.dumps(name), value)
            yield "points", point(json.dumps(name), f"[{value}]")
        yield "points", f'{{"points":[{{"id":{value},"vector":[1,2]}}]}}'
        yield "points", f'{{"points":[{{"id":"a","vector":{value}}}]}}'
        yield "points", value
    for name in TEXTS:
        yield "points", point(name, "1")
        yield "search", f'{{"vector":[1,2],"filter":{{{name}:1}}}}'
        yield "search", f'{{"vector":[1,2],"filter":{{"year":{{{name}:1}}}}}}'
        yield "search", f'{{"vector":[1,2],"filter":{{"place":{{"$geo_box":{{{name}:1}}}}}}}}'
        yield "search", f"{{{name}:1}}"


def test_nothing_that_a_client_sends_is_an_error_of_ours_or_half_written() -> None:
    async def story() -> None:
        api = Api(films=spec_of(metric="l2"))
        for path, body in bodies():
            before = api.shards.seq
            content = body.encode("utf-8", "surrogatepass")
            answer = await api.client.post(f"/vectors/v1/collections/films/{path}", content=content)
            assert answer.status_code in (200, 400), (path, body[:100], answer.text[:200])
            if answer.status_code == 400:
                assert len(answer.json()["error"]["message"]) < 600, (path, body[:100])
                assert api.shards.seq == before, (path, body[:100])

    run(story())


@pytest.mark.parametrize("instant", INSTANTS)
def test_an_instant_that_no_reader_could_be_told_is_refused(instant: str) -> None:
    async def story() -> None:
        told = await Api().refused("films/points", point('"shown"', instant).encode())
        assert told.startswith(f"points[0].metadata.shown: {instant.replace(chr(34), chr(39))}; expected an instant")

    run(story())


def test_the_greatest_threshold_finds_all() -> None:
    async def story() -> None:
        api = Api(films=spec_of(metric="l2"))
        await api.put({"id": "a", "vector": [1, 2]})
        found = await api.ask("films/search", {"vector": [1, 1], "threshold": 1e300, "include": []})
        assert [hit["id"] for hit in found["results"][0]] == ["a"]

    run(story())


def test_what_would_be_in_every_answer_is_short() -> None:
    async def story() -> None:
        api = Api()
        put = "films/points"
        long = {"id": "x" * 1_025, "vector": [1, 2]}
        assert await api.refused(put, {"points": [long]}) == "points[0].id: 1025 characters; expected at most 1024"
        many = {"id": "a", "vector": [1, 2], "metadata": {"tags": ["t"] * 10_001}}
        told = await api.refused(put, {"points": [many]})
        assert told == "points[0].metadata.tags: 10001 values; expected at most 10000"
        body = {"vector": [1, 2], "token": ",".join(["0:1"] * 100_000)}
        assert "token: expected `str` of length <= 100000" in await api.refused("films/search", body)

    run(story())


def test_a_list_of_a_hundred_thousand_values_is_refused_at_once() -> None:
    async def story() -> None:
        body = {"vector": [1, 2], "filter": {"year": {"$in": list(range(100_000))}}}
        assert "more than 10000 values in lists" in await Api().refused("films/search", body)
        many = {"vector": [1, 2], "filter": {"$or": [{"year": 1}] * 100_000}}
        assert "more than 1000 conditions" in await Api().refused("films/search", many)

    run(story())
