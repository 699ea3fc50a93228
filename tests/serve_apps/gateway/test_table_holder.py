"""The table: renewed while the control plane is there, kept while it is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from starlette.types import Message

from serve_apps.gateway.app import Gateway
from serve_apps.gateway.table_holder import TableHolder
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    INTERNAL_KEY,
    PERIOD_SECONDS,
    Published,
    answer_json,
    arm,
    chat_body,
    table,
    world,
)


@pytest.mark.parametrize("failure", ["raises", "nothing", "not json", "not a table"])
def test_the_last_good_table_serves_on_whatever_happens_to_the_reader(failure: str) -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            it.published.broken = failure == "raises"
            it.published.raw = {"nothing": None, "not json": b"{", "not a table": b"[1]"}.get(failure)
            await asyncio.sleep(0.2)
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert response.status == 200
            it.published.broken = False
            it.publish(version=2, models={})
            await asyncio.sleep(0.2)
            async with it.client.get("/healthz") as response:
                assert (await response.json())["table_version"] == 2
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 404, "model_not_found")

    run(story())


def test_a_request_whose_body_takes_long_goes_where_the_table_says_when_it_is_there() -> None:
    async def story() -> None:
        async with world(answer_json) as it:

            async def slowly() -> AsyncIterator[bytes]:
                raw = json.dumps(chat_body()).encode()
                yield raw[:10]
                await it.publish_model(arms=[arm(it.engine.url, version=4)])
                yield raw[10:]

            async with it.client.post(CHAT, data=slowly()) as response:
                assert (response.status, response.headers["x-biplane-version"]) == (200, "4")

    run(story())


def test_a_gateway_that_never_read_a_table_says_so_and_starts_when_one_comes() -> None:
    async def story() -> None:
        async with world(answer_json, first_table=False) as it:
            async with it.client.get("/healthz") as response:
                await refusal(response, 503, "not_ready")
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "not_ready")
            it.publish()
            await asyncio.sleep(0.2)
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert response.status == 200

    run(story())


@pytest.mark.parametrize("door", ["read", "keys", "engines"])
@pytest.mark.parametrize("raw", [table("http://127.0.0.1:1"), None], ids=["a table", "nothing published"])
def test_a_gateway_whose_store_cannot_be_read_takes_no_request_before_it_can(door: str, raw: bytes | None) -> None:
    published = Published(raw)
    away, asked, sent = True, 0, asyncio.Event()

    def opened(*seen: Any) -> Any:
        nonlocal asked
        asked += 1
        if away:
            raise OSError("the store is away")
        return getattr(published.doors(), door)(*seen)

    async def receive() -> Message:
        if sent.is_set():
            return {"type": "lifespan.shutdown"}
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.set()

    async def story() -> None:
        nonlocal away
        shut: dict[str, Any] = {door: opened}
        gateway = Gateway(replace(published.doors(), **shut), INTERNAL_KEY, period_s=PERIOD_SECONDS)
        living = asyncio.create_task(gateway({"type": "lifespan"}, receive, send))
        while asked < 3 and not sent.is_set():
            await asyncio.sleep(0.005)
        assert not sent.is_set()
        away = False
        await living
        assert (gateway._holder.table is None) == (raw is None)

    run(story())


def test_a_gateway_starts_at_once_where_nothing_was_published() -> None:
    async def story() -> None:
        began = perf_counter()
        async with world(answer_json, first_table=False) as it:
            assert it.published.readings <= 2
            assert perf_counter() - began < 1.0

    run(story())


def test_a_table_that_is_older_than_the_one_held_is_not_taken() -> None:
    async def story() -> None:
        published = Published(table("http://here", version=7))
        holder = TableHolder(published.read)
        await holder.refresh()
        for version, held in ((6, 7), (7, 7), (8, 8)):
            published.raw = table("http://there", version=version)
            await holder.refresh()
            assert holder.table is not None
            assert holder.table.version == held
            assert (holder.table.models["tiny"].arms[0].replicas[0].url == "http://there") == (version >= 7)

    run(story())
