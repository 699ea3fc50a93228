"""Requests for collections on their way through the gateway: who may ask, who answers, and what is told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.engine_report import EngineReport
from control.route_traffic import Pair
from serve_apps.gateway.proxy import Timeouts
from serve_apps.http_server import ReplicaServer
from serve_apps.internal_key import ENVIRONMENT_VARIABLE, RequireInternalKey
from serve_apps.vectors.limits import MOST_BODY_BYTES
from tests.serve_apps.gateway.scripted import Script, Talk, response, scripted
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import INTERNAL_KEY, World, answer_json, free_port, world
from tests.serve_apps.vectors.api import Api

COLLECTIONS = "/vectors/v1/collections"
POINTS = COLLECTIONS + "/films/points"
POINT = {"points": [{"id": "a", "vector": [1, 0]}]}


@pytest.fixture(autouse=True)
def _internal_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, INTERNAL_KEY)


@dataclass
class Plane:
    """A gateway and replicas of the vectors API."""

    it: World
    apis: list[Api] = field(default_factory=list)

    async def knows(self, **urls: str) -> None:
        """Returns when the gateway has heard of replicas by these names."""
        self.it.published.engines.update({f"vectors/{name}": EngineReport(url) for name, url in urls.items()})
        await self.it.read_again()

    async def post(self, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with self.it.client.post(path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def plane(replicas: int = 1, timeouts: Timeouts | None = None, logs: Path | None = None) -> AsyncIterator[Plane]:
    async with AsyncExitStack() as stack:
        made = Plane(await stack.enter_async_context(world(answer_json, timeouts, logs=logs)))
        for number in range(replicas):
            api = Api()
            server = ReplicaServer(RequireInternalKey(api.app), "127.0.0.1")
            await server.start()
            stack.push_async_callback(server.close)
            made.apis.append(api)
            await made.knows(**{str(number): server.url})
        yield made


def test_a_write_and_a_search_go_through_and_come_back_as_they_are() -> None:
    async def story() -> None:
        async with plane() as it:
            assert await it.post(POINTS, POINT) == (200, {"upserted": 1, "token": "0:1"})
            search = COLLECTIONS + "/films/search"
            async with it.it.client.post(search, json={"vector": [1, 0]}, headers={"x-request-id": "mine"}) as answer:
                assert answer.headers.getall("x-request-id") == ["mine"]
                assert (await answer.json())["results"] == [[{"id": "a", "score": 1.0, "metadata": {}}]]
            async with it.it.client.get(COLLECTIONS) as answer:
                assert [one["name"] for one in (await answer.json())["collections"]] == ["films"]
            async with it.it.client.patch(POINTS, json={"points": [{"id": "a", "metadata": {"year": 1}}]}) as answer:
                assert (await answer.json())["updated"] == 1
            async with it.it.client.delete(POINTS) as answer:
                await refusal(answer, 405, "method_not_allowed")

    run(story())


def test_a_refusal_of_the_api_is_passed_on_in_its_words() -> None:
    async def story() -> None:
        async with plane() as it:
            status, told = await it.post(POINTS, {"points": [{"id": "a", "vector": [1]}]})
            assert (status, told["error"]["code"]) == (400, "invalid_value")
            assert "points[0].vector: 1 numbers" in told["error"]["message"]
            status, told = await it.post(COLLECTIONS + "/filns/points", POINT)
            assert (status, told["error"]["code"]) == (404, "collection_not_found")
            assert "Did you mean 'films'?" in told["error"]["message"]

    run(story())


def test_a_key_s_models_say_which_collections_it_may_use() -> None:
    async def story() -> None:
        async with plane() as it:
            put = it.it.published.put_key
            put("all", "k-all")
            put("films", "k-films", models=["tiny", "vectors/films"])
            put("any", "k-any", models=["vectors/*"])
            put("model", "k-model", models=["tiny"])
            put("route", "k-route", routes=["front"])
            put("both", "k-both", routes=["front"], models=["vectors/films"])
            await it.it.read_again()
            for key, expected in [
                ("all", 200),
                ("films", 200),
                ("any", 200),
                ("model", 403),
                ("route", 403),
                ("both", 200),
            ]:
                status, told = await it.post(POINTS, POINT, f"k-{key}")
                assert status == expected, (key, told)
            for key, expected in [("all", 200), ("films", 403), ("any", 200), ("model", 403), ("route", 403)]:
                async with it.it.client.get(COLLECTIONS, headers={"authorization": f"Bearer k-{key}"}) as answer:
                    assert answer.status == expected, key
            assert (await it.post(COLLECTIONS + "/other/points", POINT, "k-films"))[0] == 403
            status, told = await it.post(POINTS, POINT, "k-model")
            assert told["error"]["code"] == "collection_not_allowed"
            assert "its models do not name 'vectors/films'" in told["error"]["message"]
            assert (await it.post(POINTS, POINT, "nobody"))[0] == 401

    run(story())


def test_requests_are_counted_for_the_key_s_limit_and_cost_nothing() -> None:
    async def story() -> None:
        async with plane() as it:
            limits = {"requests_per_minute": 3, "tokens_per_minute": 1, "cost_per_day": 0.0}
            it.it.published.put_key("few", "k-few", limits=limits)
            await it.it.read_again()
            answers = [await it.post(POINTS, POINT, "k-few") for _ in range(5)]
            assert [status for status, _ in answers] == [200, 200, 200, 429, 429]
            assert answers[-1][1]["error"]["code"] == "rate_limit_exceeded"

    run(story())


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    async def story() -> None:
        async with plane() as it:
            async with it.it.client.post(POINTS, data=b"x" * (MOST_BODY_BYTES + 1)) as answer:
                await refusal(answer, 413, "request_too_large")
            rows = [{"id": f"{number:0100}", "vector": [1, 0]} for number in range(50)]
            status, _ = await it.post(POINTS, {"points": rows})
            assert status == 200, "the bound of the models' requests is not that of collections"

    run(story())


def test_without_a_replica_a_client_is_told_to_come_again() -> None:
    async def story() -> None:
        async with plane(0) as it, it.it.client.get(COLLECTIONS) as answer:
            await refusal(answer, 503, "vectors_unavailable")
            assert answer.headers["retry-after"] == "1"

    run(story())


def test_what_could_not_be_sent_to_one_replica_goes_to_another() -> None:
    async def story() -> None:
        async with plane() as it:
            await it.knows(dead=f"http://127.0.0.1:{free_port()}")
            for _ in range(6):
                assert (await it.post(POINTS, POINT))[0] == 200

    run(story())


def test_what_broke_off_is_not_sent_to_another_replica() -> None:
    async def story() -> None:
        async def die(talk: Talk) -> None:
            await talk.request()
            talk.reset()

        async with plane(0) as it, scripted(die) as one, scripted(die) as two:
            await it.knows(one=one.url, two=two.url)
            status, told = await it.post(POINTS, POINT)
            assert (status, told["error"]["code"]) == (503, "vectors_unavailable")
            assert one.asked + two.asked == 1

    run(story())


def test_a_kept_connection_that_its_replica_closed_costs_nobody_anything() -> None:
    async def story() -> None:
        async with plane(0) as it, scripted(_once({"count": 3})) as one:
            await it.knows(one=one.url)
            for _ in range(3):
                assert await it.post(POINTS + "/count", {}) == (200, {"count": 3})
            assert one.asked == 3

    run(story())


def test_a_replica_that_died_between_two_requests_costs_nobody_anything() -> None:
    async def story() -> None:
        async def die(talk: Talk) -> None:
            await talk.request()
            await talk.send(response(200, {"count": 3}))
            await talk.reader.readuntil(b"\r\n\r\n")
            one.server.close()
            talk.reset()

        async with plane(0) as it, scripted(die) as one, scripted(_once({"count": 4})) as two:
            await it.knows(one=one.url)
            assert await it.post(POINTS + "/count", {}) == (200, {"count": 3})
            await it.knows(two=two.url)
            asking = [asyncio.create_task(it.post(POINTS + "/count", {})) for _ in range(2)]
            assert [told for _, told in await asyncio.gather(*asking)] == [{"count": 4}] * 2

    run(story())


def _once(document: Any) -> Script:
    """Answers one request of a connection and closes it with the next."""

    async def say(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(200, document))
        await talk.reader.readuntil(b"\r\n\r\n")
        talk.reset()

    return say


def test_the_replica_with_the_fewest_requests_is_asked() -> None:
    async def story() -> None:
        async with plane(2) as it:
            for api in it.apis:
                api.shards.held = asyncio.Event()
            asking = [asyncio.create_task(it.post(POINTS, POINT)) for _ in range(8)]
            while sum(len(api.shards.asked) for api in it.apis) < 8:
                await asyncio.sleep(0.01)
            assert [len(api.shards.asked) for api in it.apis] == [4, 4]
            for api in it.apis:
                assert api.shards.held is not None
                api.shards.held.set()
            assert {status for status, _ in await asyncio.gather(*asking)} == {200}

    run(story())


def test_a_client_that_leaves_ends_its_search_and_is_logged(tmp_path: Path) -> None:
    async def story() -> None:
        async with plane(logs=tmp_path) as it:
            [api] = it.apis
            api.shards.held = asyncio.Event()
            with pytest.raises(TimeoutError):
                async with it.it.client.post(POINTS, json=POINT, timeout=aiohttp.ClientTimeout(total=0.2)):
                    pass
            while not api.shards.cancelled:
                await asyncio.sleep(0.01)
            api.shards.held = None
            await it.post(POINTS, POINT)
        lines = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
        told = [(one["status"], one["outcome"], one["model"], one["path"]) for one in lines]
        assert told == [(499, "client_left", "vectors/films", POINTS), (200, "ok", "vectors/films", POINTS)]
        assert lines[1]["backend"] == "vectors/films"
        assert lines[1]["prompt_tokens"] == lines[1]["completion_tokens"] == lines[1]["cost_dollars"] == 0

    run(story())


def test_the_figures_tell_requests_of_a_collection_apart() -> None:
    async def story() -> None:
        async with plane() as it:
            await it.post(POINTS, POINT)
            await it.post(COLLECTIONS + "/made-up/points", POINT)
            seen = it.it.published.routes.times
            while not seen:
                await asyncio.sleep(0.01)
                seen = it.it.published.routes.times
            assert Pair("", "vectors/films") in seen
            assert Pair("", "vectors/made-up") not in seen

    run(story())
