"""The keys that a gateway holds: read from the store, renewed while it is there, held while it is not."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from control import data_plane
from control.api_keys import create, revoke
from control.client import Client
from control.kernel.home import HOME_VARIABLE, Home
from control.specs.api_key import Grant, KeyLimits
from serve_apps.gateway.app import READ_SECONDS
from serve_apps.gateway.auth import authenticate
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.keys import Key, Keys, Stamp, StoredKey
from tests.fakes.home import SETTINGS
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    KEY,
    MESSAGES,
    PERIOD_SECONDS,
    Published,
    answer_json,
    arm,
    chat_body,
    digest_of,
    world,
)

SECRET = "bp-alice"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Of the plane whose store the data plane's doors open."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    SETTINGS.write(Home(tmp_path))
    data_plane.store.cache_clear()
    yield Client()
    data_plane.store.cache_clear()


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def held(published: Published) -> Keys:
    keys = Keys(published.read_keys)
    assert asyncio.run(keys.refresh())
    return keys


def test_a_key_is_held_by_the_digests_of_its_secrets_with_what_it_may_do() -> None:
    published = Published(None)
    limits = {"requests_per_minute": 5}
    told: dict[str, Any] = {"organization": "lab", "routes": ["chat"], "models": ["tiny", "gpt-4*"], "limits": limits}
    previous = {"previous_sha256": digest_of("bp-before"), "previous_until": 20.0}
    published.put_key("alice", SECRET, expires_at=50.0, priority="low", **told, **previous)
    known = held(published).known
    assert known.keys() == {digest_of(SECRET), digest_of("bp-before")}
    assert known[digest_of(SECRET)] == Key(
        "alice",
        "lab",
        frozenset({"chat"}),
        frozenset({"tiny"}),
        ("gpt-4",),
        50.0,
        priority="low",
        limits=KeyLimits(requests_per_minute=5),
    )


@pytest.mark.parametrize(
    ("spec", "now", "newest", "former"),
    [
        ({}, 10.0, None, None),
        ({}, 20.0, None, "The API key was replaced by another one."),
        ({"expires_at": 15.0}, 15.0, "The API key has expired.", "The API key has expired."),
        ({"expires_at": 15.0}, 99.0, "The API key has expired.", "The API key has expired."),
        ({"revoked_at": 99.0}, 10.0, "The API key was revoked.", "The API key was revoked."),
        ({"revoked_at": 99.0, "expires_at": 5.0}, 10.0, "The API key was revoked.", "The API key was revoked."),
    ],
)
def test_each_secret_of_a_key_ends_at_its_own_time_and_a_revoked_one_whatever_the_clock_says(
    spec: dict[str, Any], now: float, newest: str | None, former: str | None
) -> None:
    published = Published(None)
    before = {"previous_sha256": digest_of("bp-before"), "previous_until": 20.0}
    published.put_key("alice", SECRET, **before, **spec)
    keys = held(published)

    def told(secret: str) -> str | None:
        try:
            authenticate({"headers": [(b"x-api-key", secret.encode())]}, keys.known, now)
        except ApiError as error:
            return error.message
        return None

    assert (told(SECRET), told("bp-before")) == (newest, former)


def test_a_key_that_nobody_can_read_opens_nothing_and_hinders_no_other() -> None:
    published = Published(None)
    published.put_key("odd", "bp-odd", surprise=True)
    published.put_key("alice", SECRET)
    assert held(published).known.keys() == {digest_of(SECRET)}


def test_only_what_changed_is_taken_in_anew() -> None:
    published = Published(None)
    published.put_key("alice", SECRET)
    published.put_key("bob", "bp-bob")
    keys = held(published)
    before = dict(keys.known)
    published.put_key("bob", "bp-bob", organization="lab")
    assert asyncio.run(keys.refresh())
    assert keys.known[digest_of(SECRET)] is before[digest_of(SECRET)]
    assert keys.known[digest_of("bp-bob")].organization == "lab"
    del published.keys["bob"]
    assert asyncio.run(keys.refresh())
    assert keys.known.keys() == {digest_of(SECRET)}


def test_a_reader_that_fails_or_gives_nonsense_changes_nothing_and_the_next_good_reading_counts() -> None:
    good: tuple[Stamp, Iterable[StoredKey]] = ((1, 1), [("alice", 1, {"sha256": digest_of(SECRET)})])
    answers: list[Any] = [good, None, ((9, 9), None), ((9, 9), [("alice", 2)]), 7, ((2, 2), [])]
    asked: list[Stamp | None] = []

    def read(seen: Stamp | None) -> Any:
        asked.append(seen)
        return answers[len(asked) - 1]

    keys = Keys(read)
    came = []
    for _ in answers:
        came.append((asyncio.run(keys.refresh()), len(keys.known)))
    assert came == [(True, 1), (True, 1), (False, 1), (False, 1), (False, 1), (True, 0)]
    assert asked == [None, *[(1, 1)] * 5]


def test_a_revoked_key_is_refused_at_the_next_reading_although_no_table_can_be_read_any_more() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            it.published.put_key("alice", SECRET)
            it.published.raw = b"{"  # what a control plane that died in the middle would leave
            await it.read_again()
            async with it.client.post(CHAT, json=chat_body(), headers=bearer(SECRET)) as response:
                assert response.status == 200
            it.published.put_key("alice", SECRET, revoked_at=1.0)
            await it.read_again()
            async with it.client.post(CHAT, json=chat_body(), headers=bearer(SECRET)) as response:
                error = await refusal(response, 401, "invalid_api_key")
                assert error["message"] == "The API key was revoked."
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert response.status == 200
            it.published.broken = True
            await asyncio.sleep(3 * PERIOD_SECONDS)
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert response.status == 200

    run(story())


def test_a_key_that_is_revoked_in_the_store_is_refused_within_a_second_while_others_go_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real store, the real door and the period of a real gateway; no control actor runs."""
    alice, bob = (create(client, name, Grant(), now=time.time()).secret for name in ("alice", "bob"))
    monkeypatch.setattr(Published, "read_keys", staticmethod(data_plane.read_api_keys))
    monkeypatch.setattr("tests.serve_apps.gateway.upstream.PERIOD_SECONDS", READ_SECONDS)

    async def story() -> None:
        async with world(answer_json) as it:

            async def status(secret: str) -> int:
                async with it.client.post(CHAT, json=chat_body(), headers=bearer(secret)) as response:
                    return response.status

            for _ in range(5):
                assert [await status(alice), await status(bob)] == [200, 200]
                await asyncio.sleep(0.01)
            await asyncio.to_thread(revoke, client, "alice", now=time.time(), reason="test")
            revoked_at = time.perf_counter()
            while await status(alice) == 200:
                assert await status(bob) == 200
                await asyncio.sleep(0.01)
            assert time.perf_counter() - revoked_at < 1.0
            assert [await status(alice), await status(bob)] == [401, 200]
            async with it.client.post(CHAT, json=chat_body(), headers=bearer(KEY)) as response:
                await refusal(response, 401, "invalid_api_key")

    run(story())


def test_what_a_key_may_not_use_is_refused_in_the_clients_own_shape_and_reaches_no_engine() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            it.published.put_key("alice", SECRET, models=["other*"])
            await it.read_again()
            async with it.client.post(CHAT, json=chat_body(), headers=bearer(SECRET)) as response:
                error = await refusal(response, 403, "model_not_allowed")
                assert (error["type"], error["param"]) == ("permission_error", "model")
                assert error["message"] == "The API key 'alice' may not be used for the model 'tiny'."
            body = {"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
            async with it.client.post(MESSAGES, json=body, headers=bearer(SECRET)) as response:
                told = await response.json()
                assert response.status == 403
                assert told["type"] == "error"
                assert told["error"]["type"] == "permission_error"
            async with it.client.post(CHAT, json=chat_body(model="none"), headers=bearer(SECRET)) as response:
                await refusal(response, 403, "model_not_allowed")
            async with it.client.post(CHAT, json=chat_body(model="other-1"), headers=bearer(SECRET)) as response:
                await refusal(response, 404, "model_not_found")
            assert it.engine.bodies == []

    run(story())


def test_a_key_sees_only_the_models_that_it_may_use() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            arms = {"arms": [arm(it.engine.url)]}
            it.published.put_key("alice", SECRET, models=["ti*"])
            it.publish(version=2, models={"tiny": arms, "big": arms})
            await it.read_again()

            async def models(headers: dict[str, str]) -> list[str]:
                async with it.client.get("/v1/models", headers=headers) as response:
                    return [one["id"] for one in (await response.json())["data"]]

            assert await models(bearer(KEY)) == ["big", "tiny"]
            assert await models(bearer(SECRET)) == ["tiny"]
            async with it.client.get("/v1/models/tiny", headers=bearer(SECRET)) as response:
                assert response.status == 200
            async with it.client.get("/v1/models/big", headers=bearer(SECRET)) as response:
                error = await refusal(response, 404, "model_not_found")
                assert "Models served: tiny." in error["message"]
            async with it.client.post(CHAT, json=chat_body(model="tiiny"), headers=bearer(SECRET)) as response:
                error = await refusal(response, 404, "model_not_found")
                assert "Did you mean 'tiny'? Models served: tiny." in error["message"]

    run(story())


def test_a_key_for_one_route_is_refused_on_another() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            backend = {"provider": "local-vllm", "model": "m", "weight": 1, "dialect": "openai", "secret": {}}
            rest = {"chain": [], "triggers": [], "pool_size": 2, "timeout_s": 5.0, "retries": 0, "streaming": True}
            routes = [
                {"name": name, "path": CHAT, "model": name, "backends": [{**backend, "url": it.engine.url}], **rest}
                for name in ("mine", "yours")
            ]
            it.published.put_key("alice", SECRET, routes=["mine"])
            it.publish(version=2, routes=routes)
            await it.read_again()
            async with it.client.post(CHAT, json=chat_body(model="mine"), headers=bearer(SECRET)) as response:
                assert response.status == 200
            async with it.client.post(CHAT, json=chat_body(model="yours"), headers=bearer(SECRET)) as response:
                error = await refusal(response, 403, "route_not_allowed")
                assert error["message"] == "The API key 'alice' may not be used for the route 'yours'."
            async with it.client.post(CHAT, json=chat_body(), headers=bearer(SECRET)) as response:
                await refusal(response, 403, "model_not_allowed")
            assert len(it.engine.bodies) == 1

    run(story())
