"""Headers to the backend and to the client: secrets from their places, and none that is not the filter's to set."""

from __future__ import annotations

import json

import pytest

from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.filters.build import build_filters, places
from serve_apps.gateway.filters.filter import Place, Unusable
from tests.serve_apps.gateway.filters.asking import context, filters

SECRET = json.dumps([{"type": "headers", "request": {"set": {"x-tenant": {"env": "TENANT"}}}}])


def test_headers_are_set_and_removed_and_the_provider_s_key_stays() -> None:
    one = filters({"type": "headers", "request": {"set": {"x-a": "1"}, "remove": ["x-b"]}})
    told = one.to_backend([(b"authorization", b"Bearer k"), (b"x-b", b"2"), (b"x-c", b"3")], context())
    assert sorted(told) == [(b"authorization", b"Bearer k"), (b"x-a", b"1"), (b"x-c", b"3")]


def test_the_answer_has_its_own() -> None:
    one = filters({"type": "headers", "answer": {"set": {"X-Served-By": "us"}, "remove": ["x-biplane-backend"]}})
    told = one.to_client([(b"content-type", b"application/json"), (b"x-biplane-backend", b"openai/m")], context())
    assert told == [(b"content-type", b"application/json"), (b"x-served-by", b"us")]
    assert one.to_backend([(b"x-b", b"2")], context()) == [(b"x-b", b"2")]


def test_a_secret_is_read_each_time_and_its_place_is_told_before() -> None:
    known: dict[Place, str] = {(("env", "TENANT"),): "one"}
    assert places(SECRET) == set(known)
    filters_ = build_filters(SECRET, known.__getitem__)
    assert filters_.to_backend([], context()) == [(b"x-tenant", b"one")]
    known[(("env", "TENANT"),)] = "two"
    assert filters_.to_backend([], context()) == [(b"x-tenant", b"two")]


@pytest.mark.parametrize("secret", ["two\r\nlines", None])
def test_without_a_secret_that_can_be_sent_the_route_answers_503_and_does_not_tell_it(secret: str | None) -> None:
    def secret_of(place: Place) -> str:
        if secret is None:
            raise Unusable("TENANT was not set")
        return secret

    with pytest.raises(ApiError) as refused:
        build_filters(SECRET, secret_of).to_backend([], context())
    assert refused.value.status == 503
    assert "lines" not in refused.value.message
