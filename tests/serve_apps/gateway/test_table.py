"""The table: renewed while the control plane is there, kept while it is not."""

import asyncio
import json
from collections import Counter

import pytest

from serve_apps.gateway.routes import pick_arm
from serve_apps.gateway.table import Arm, Table, parse_table
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import CHAT, answer_json, chat_body, table, world


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


def test_a_table_is_read_with_its_default_limit() -> None:
    document = json.loads(table("http://127.0.0.1:1/llm/tiny/3/"))
    del document["max_body_bytes"]
    parsed = parse_table(json.dumps(document).encode())
    assert parsed.models == {"tiny": (Arm("3", 1.0, "http://127.0.0.1:1/llm/tiny/3"),)}
    assert parsed.max_body_bytes == 1 << 20


def test_traffic_is_split_by_weight_and_an_arm_without_weight_gets_none() -> None:
    arms = tuple(Arm(version, weight, "") for version, weight in (("a", 1.0), ("b", 0.0), ("c", 3.0)))
    split = Table(1, {"m": arms}, {}, 1)
    counted = Counter(pick_arm(split, "m", point / 1000).version for point in range(1000))
    assert counted == {"a": 250, "c": 750}
