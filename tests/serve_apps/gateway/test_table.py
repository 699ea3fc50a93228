"""The table: renewed while the control plane is there, kept while it is not."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from serve_apps.gateway.table import Arm, Model, Shadow, Sticky, TableHolder, parse_table
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import CHAT, Published, answer_json, arm, chat_body, table, world


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


def test_a_revoked_key_stops_working_at_the_next_table() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            it.publish(keys={})
            await asyncio.sleep(0.2)
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 401, "invalid_api_key")

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
            assert (holder.table.models["tiny"].arms[0].url == "http://there") == (version >= 7)

    run(story())


def test_a_table_of_the_first_form_is_read_with_what_it_leaves_out() -> None:
    document = json.loads(table("http://127.0.0.1:1/llm/tiny/3/"))
    del document["max_body_bytes"]
    parsed = parse_table(json.dumps(document).encode())
    assert parsed.models == {"tiny": Model((Arm("3", 1.0, "http://127.0.0.1:1/llm/tiny/3"),))}
    assert parsed.max_body_bytes == 1 << 20


def test_a_table_names_applications_arms_shadows_and_who_stays_with_an_arm() -> None:
    shadow = {"version": 4, "url": "http://s/", "app": "llm:s", "share": 0.25}
    wanted = {"arms": [arm("http://a", app="llm:a", name="warm")], "sticky": "session", "shadows": [shadow]}
    parsed = parse_table(table("", models={"m": wanted}))
    arms = (Arm("3", 1.0, "http://a", "llm:a", "warm"),)
    shadows = (Shadow(Arm("4", 0.0, "http://s", "llm:s"), 0.25),)
    assert parsed.models == {"m": Model(arms, Sticky.SESSION, shadows)}
