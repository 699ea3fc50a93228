"""The API as a whole: its paths, deadlines, bounds, and what clients are told when shards fail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message

from actors.vectors.answers import Failed, Unanswered, UnknownCollection
from serve_apps.vectors import app
from tests.serve_apps.vectors.api import Api, run, spec_of

POINT = {"points": [{"id": "a", "vector": [1, 0]}]}
SEARCH = {"vector": [1, 0]}


def test_collections_are_listed_and_described() -> None:
    async def story() -> None:
        api = Api(films=spec_of(), books=spec_of(metric="l2", fields=[]))
        listed = (await api.client.get("/vectors/v1/collections")).json()["collections"]
        assert [one["name"] for one in listed] == ["books", "films"]
        one = (await api.client.get("/vectors/v1/collections/books")).json()
        assert (one["name"], one["dimension"], one["metric"], one["fields"]) == ("books", 2, "l2", [])

    run(story())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/vectors/v1", 404, "unknown_path"),
        ("GET", "/vectors/v1/collectionsx", 404, "unknown_path"),
        ("GET", "/vectors/v1/collections/films/pointz", 404, "unknown_path"),
        ("GET", "/vectors/v1/collections/films/points/fetch/x", 404, "unknown_path"),
        ("GET", "/vectors/v1/collections/films/points", 405, "method_not_allowed"),
        ("DELETE", "/vectors/v1/collections/films", 405, "method_not_allowed"),
        ("POST", "/vectors/v1/collections", 405, "method_not_allowed"),
        ("GET", "/vectors/v1/collections/filns", 404, "collection_not_found"),
        ("POST", "/vectors/v1/collections/filns/search", 404, "collection_not_found"),
    ],
)
def test_what_is_not_there_is_refused(method: str, path: str, status: int, code: str) -> None:
    async def story() -> None:
        answer = await Api().client.request(method, path, content=b"{}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers["x-request-id"]

    run(story())


def test_an_unknown_collection_is_told_with_the_nearest_and_with_all() -> None:
    async def story() -> None:
        message = await Api(films=spec_of(), books=spec_of()).refused("filns/search", {}, status=404)
        assert message == "There is no collection 'filns'. Did you mean 'films'? There are books, films."

    run(story())


@pytest.mark.parametrize(
    ("failure", "status", "code", "words"),
    [
        (Failed({}, {}, {0: "its disk is full"}), 503, "not_written", "shard 0 does not have it: its disk is full"),
        (Failed({1: 7}, {}, {0: "no leader"}), 503, "not_written", "shards 1 have it. It may be sent again."),
        (Failed({}, {0: "no answer"}, {}), 504, "outcome_unknown", "it is not known whether shard 0 has it"),
        (UnknownCollection("gone"), 404, "collection_not_found", "There is no collection 'films'"),
        (TimeoutError(), 504, "timeout", "within 10000 ms. It is not known whether the write lasts"),
        (ZeroDivisionError(), 500, "internal_error", "failed to handle this request"),
    ],
)
def test_a_write_that_fails_says_whether_it_may_have_been_done(
    failure: Exception, status: int, code: str, words: str
) -> None:
    async def story() -> None:
        api = Api()
        api.shards.failure = failure
        error = (await api.ask("films/points", POINT, status=status))["error"]
        assert error["code"] == code
        assert words in error["message"]

    run(story())


def test_a_search_that_no_shard_answers_says_why() -> None:
    async def story() -> None:
        api = Api()
        api.shards.failure = Unanswered({0: "no replica is known"})
        error = (await api.ask("films/search", SEARCH, status=503))["error"]
        assert error["code"] == "shards_unavailable"
        assert "shard 0 does not answer: no replica is known" in error["message"]

    run(story())


def test_a_request_ends_at_its_deadline_whatever_the_shards_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "GRACE_SECONDS", 0.0)

    async def story() -> None:
        api = Api()
        api.shards.held = asyncio.Event()
        error = (await api.ask("films/search", {**SEARCH, "timeout_ms": 30}, status=504))["error"]
        assert (error["code"], api.shards.cancelled) == ("timeout", 1)
        assert error["message"] == "The shards did not answer within 30 ms."

    run(story())


class Leaver:
    """A client that sends its request and leaves when it is told to."""

    def __init__(self, body: Any) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.messages.put_nowait({"type": "http.request", "body": json.dumps(body).encode()})
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def ask(self, api: Api) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/vectors/v1/collections/films/search",
            "query_string": b"",
            "headers": [],
        }
        await api.app(scope, self.messages.get, self.send)


def test_the_search_of_a_client_that_leaves_is_dropped() -> None:
    async def story() -> None:
        api = Api()
        api.shards.held = asyncio.Event()
        client = Leaver(SEARCH)
        asking = asyncio.create_task(client.ask(api))
        while not api.shards.asked:
            await asyncio.sleep(0)
        client.messages.put_nowait({"type": "http.disconnect"})
        await asking
        assert (api.shards.cancelled, client.sent, api.app.in_flight) == (1, [], 0)

    run(story())


def test_no_more_requests_are_worked_on_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(app, "PATIENCE_SECONDS", 0.05)

    async def story() -> None:
        api = Api()
        api.shards.held = asyncio.Event()
        first = [asyncio.create_task(api.ask("films/search", SEARCH)) for _ in range(2)]
        while len(api.shards.asked) < 4:
            await asyncio.sleep(0)
        error = (await api.ask("films/search", SEARCH, status=503))["error"]
        assert error["code"] == "overloaded"
        assert len(api.shards.asked) == 4
        api.shards.held.set()
        await asyncio.gather(*first)
        await api.ask("films/search", SEARCH)

    run(story())


def test_a_body_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_BODY_BYTES", 100)

    async def story() -> None:
        error = (await Api().ask("films/search", b" " * 101, status=413))["error"]
        assert error["code"] == "request_too_large"

    run(story())
