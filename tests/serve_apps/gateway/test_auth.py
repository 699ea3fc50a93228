"""Who is let in, what each may use, and what a stranger does to the gateway's memory: nothing."""

import gc
import hashlib
import math
import tracemalloc
from typing import Any

import pytest

from serve_apps.gateway.auth import authenticate, authorize
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.keys import Ending, Key

NOW = 1000.0


def scope(name: bytes, value: bytes) -> dict[str, Any]:
    return {"headers": [(b"host", b"here"), (name, value)]}


def knowing(key: Key, secret: bytes = b"bp-1") -> dict[str, Key]:
    return {hashlib.sha256(secret).hexdigest(): key}


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"authorization", b"Bearer bp-1"), (b"authorization", b"bearer  bp-1 "), (b"x-api-key", b"bp-1")],
)
def test_a_key_is_known_however_clients_send_it(name: bytes, value: bytes) -> None:
    assert authenticate(scope(name, value), knowing(key := Key("alice")), NOW) is key


@pytest.mark.parametrize(
    ("secret", "key", "message"),
    [
        (b"bp-1", Key("alice", ends_at=NOW), "The API key has expired."),
        (b"bp-1", Key("alice", ends_at=-math.inf, ending=Ending.REVOKED), "The API key was revoked."),
        (b"bp-1", Key("alice", ends_at=NOW, ending=Ending.ROTATED), "The API key was replaced by another one."),
        (b"bp-2", Key("alice", ends_at=-math.inf, ending=Ending.REVOKED), "The API key is not known."),
        (hashlib.sha256(b"bp-1").hexdigest().encode(), Key("alice"), "The API key is not known."),
        (b"\xff\x00", Key("alice"), "The API key is not known."),
    ],
)
def test_why_a_key_is_not_good_is_told_to_who_has_it_alone(secret: bytes, key: Key, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        authenticate(scope(b"x-api-key", secret), knowing(key), NOW)
    assert (refused.value.status, refused.value.code, refused.value.message) == (401, "invalid_api_key", message)


def test_a_key_is_good_until_the_moment_that_it_ends() -> None:
    assert authenticate(scope(b"x-api-key", b"bp-1"), knowing(Key("alice", ends_at=NOW)), NOW - 0.001).name == "alice"


ALL, MODELS = Key("all"), Key("models", models=frozenset({"tiny"}), prefixes=("gpt-4", "o"))
ROUTES = Key("routes", routes=frozenset({"chat"}))
BOTH = Key("both", routes=frozenset({"chat"}), models=frozenset({"tiny"}), prefixes=("gpt-4",))


@pytest.mark.parametrize(
    ("key", "model", "route", "code"),
    [
        (ALL, "tiny", None, None),
        (ALL, "gpt-4o", "chat", None),
        (MODELS, "tiny", None, None),
        (MODELS, "gpt-4o", "chat", None),
        (MODELS, "o3", "other", None),
        (MODELS, "gpt-3.5", "chat", "model_not_allowed"),
        (MODELS, "tiny2", None, "model_not_allowed"),
        (ROUTES, "anything", "chat", None),
        (ROUTES, "anything", "other", "route_not_allowed"),
        (ROUTES, "tiny", None, "model_not_allowed"),
        (BOTH, "gpt-4o", "chat", None),
        (BOTH, "gpt-4o", "other", "route_not_allowed"),
        (BOTH, "tiny", None, None),
        (BOTH, "big", None, "model_not_allowed"),
        (BOTH, "o3", "other", "model_not_allowed"),
        (Key("star", prefixes=("",)), "anything", None, None),
    ],
)
def test_a_key_is_good_for_its_models_on_its_routes(key: Key, model: str, route: str | None, code: str | None) -> None:
    if code is None:
        return authorize(key, model, route)
    with pytest.raises(ApiError) as refused:
        authorize(key, model, route)
    assert (refused.value.status, refused.value.code, refused.value.kind) == (403, code, "permission_error")
    assert f"'{key.name}'" in refused.value.message
    return None


def test_a_name_of_any_length_is_repeated_in_part_only() -> None:
    with pytest.raises(ApiError) as refused:
        authorize(MODELS, "x" * 10_000, None)
    assert len(refused.value.message) < 250


def test_a_flood_of_bad_keys_leaves_nothing_in_memory() -> None:
    keys = knowing(Key("alice"))

    def flood(count: int) -> None:
        for number in range(count):
            with pytest.raises(ApiError):
                authenticate(scope(b"authorization", b"Bearer bp-bad-%d" % number), keys, NOW)

    flood(10)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flood(2000)
        gc.collect()  # what pytest remembers of a refusal goes in circles
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # to remember each would take ten times as much
