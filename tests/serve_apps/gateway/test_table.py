"""The table: renewed while the control plane is there, kept while it is not."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from starlette.types import Message

from serve_apps.gateway.app import Gateway
from serve_apps.gateway.table import Affinity, Arm, Model, Replica, Shadow, Sticky, TableHolder, parse_table
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    INTERNAL_KEY,
    PERIOD_SECONDS,
    Published,
    answer_json,
    arm,
    arm_of,
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


def test_a_table_of_the_first_form_is_read_with_what_it_leaves_out() -> None:
    document = json.loads(table("http://127.0.0.1:1/llm/tiny/3/"))
    del document["max_body_bytes"]
    parsed = parse_table(json.dumps(document).encode())
    assert parsed.models == {"tiny": Model((Arm("3", 1.0, (Replica("", "http://127.0.0.1:1/llm/tiny/3"),)),))}
    assert parsed.max_body_bytes == 1 << 20


def test_an_arm_of_the_form_before_replicas_is_an_arm_with_one() -> None:
    shadow = {"version": 4, "url": "http://s/", "app": "llm:s", "share": 0.25}
    wanted = {"arms": [arm("http://a", app="llm:a", name="warm")], "sticky": "session", "shadows": [shadow]}
    parsed = parse_table(table("", models={"m": wanted}))
    arms = (Arm("3", 1.0, (Replica("llm:a", "http://a"),), "warm"),)
    shadows = (Shadow(Arm("4", 0.0, (Replica("llm:s", "http://s"),)), 0.25),)
    assert parsed.models == {"m": Model(arms, Sticky.SESSION, shadows)}


def test_a_table_names_replicas_shadows_affinity_and_how_long_a_model_takes_to_wake() -> None:
    wanted = {
        "arms": [arm_of(("llm:a:0", "http://a/0"), ("llm:a:1", "http://a/1/"), name="warm"), arm_of(version=4)],
        "shadows": [{"version": "5", "share": 0.5, "replicas": [{"app": "llm:s", "url": "http://s"}]}],
        "sticky": "user",
        "affinity": "prefix",
        "wakes_s": 90,
        "adapters": {"polite": {}},
    }
    (model,) = parse_table(table("", models={"m": wanted})).models.values()
    warm = Arm("3", 1.0, (Replica("llm:a:0", "http://a/0"), Replica("llm:a:1", "http://a/1")), "warm")
    shadow = Shadow(Arm("5", 0.0, (Replica("llm:s", "http://s"),)), 0.5)
    assert model == Model((warm, Arm("4", 1.0, ())), Sticky.USER, (shadow,), Affinity.PREFIX, 90.0)


@pytest.mark.parametrize(
    ("changes", "asleep"),
    [
        ({"wakes_s": 9, "arms": []}, True),
        ({"wakes_s": 9, "arms": [arm_of(), arm_of(version=4)]}, True),
        ({"wakes_s": 9, "arms": [arm_of(("a", "http://a"), weight=0)]}, True),
        ({"wakes_s": 9, "arms": [arm_of(), arm_of(("a", "http://a"))]}, False),
        ({"wakes_s": 0, "arms": []}, False),
        ({"arms": []}, False),
    ],
)
def test_a_model_that_may_wake_and_has_nobody_to_answer_is_asleep(changes: dict[str, Any], asleep: bool) -> None:
    (model,) = parse_table(table("", models={"m": changes})).models.values()
    assert model.asleep is asleep


@pytest.mark.parametrize(
    "changes",
    [
        {"wakes_s": -1},
        {"wakes_s": math.inf},
        {"wakes_s": math.nan},
        {"wakes_s": "soon"},
        {"affinity": "session"},
        {"sticky": "prefix"},
        {"arms": [arm_of(version="3", replicas=None)]},
        {"arms": [arm_of(version="3", replicas=[{"app": "a"}])]},
        {"arms": [arm_of(version="3", replicas=["http://a"])]},
        {"arms": [{"weight": 1.0, "replicas": []}]},
    ],
)
def test_what_is_no_table_is_not_taken(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        parse_table(table("", models={"m": {"arms": [], **changes}}))
