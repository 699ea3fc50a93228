"""What becomes of an upstream's error on its way to the client."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from serve_apps.gateway.errors import ApiError, Failure
from serve_apps.gateway.upstream_error import of_engine, of_provider

Told = Callable[[str, int, bytes], ApiError]
PAGE = b"<html>Request Entity Too Large</html>"


def said(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


def told(error: ApiError) -> tuple[int, str, str, str | None]:
    return error.status, error.code, error.kind, error.param


@pytest.mark.parametrize("of", [of_engine, of_provider])
def test_what_is_wrong_with_the_request_is_told_in_the_upstream_s_words_with_its_status(of: Told) -> None:
    error = of("tiny", 400, said(message="too long", type="invalid_request_error", code="too_long", param="messages"))
    assert (error.message, *told(error)) == ("too long", 400, "too_long", "invalid_request_error", "messages")
    assert error.failure is None, "nobody else would answer it better"
    numbered = of("tiny", 400, said(message="too long", type="BadRequestError", code=400, param=7))
    assert told(numbered) == (400, "invalid_request", "invalid_request_error", None)
    assert told(of("tiny", 429, said(message="slow down")))[1:3] == ("rate_limit_exceeded", "rate_limit_error")


@pytest.mark.parametrize("of", [of_engine, of_provider])
@pytest.mark.parametrize("status", [401, 402, 403, 404, 500, 502, 503, 529])
def test_what_is_ours_to_answer_for_makes_it_unavailable_and_nothing_of_it_is_told(of: Told, status: int) -> None:
    error = of("tiny", status, said(message="the key sk-secret is no good"))
    assert (error.status, error.code) == (503, "model_unavailable")
    assert f"answered {status}" in error.message
    assert "sk-secret" not in error.message


@pytest.mark.parametrize("page", [PAGE, b'{"error": "no"}', b'{"error": {"message": 7}}', b"[]", b"\xff", b""])
def test_a_page_is_none_of_an_engine_s_and_may_be_a_provider_s(page: bytes) -> None:
    error = of_engine("tiny", 413, page)
    assert (error.status, error.failure) == (503, Failure.FAILED)
    assert told(of_provider("openai/gpt", 413, page)) == (413, "invalid_request", "invalid_request_error", None)


def test_a_replica_that_dies_behind_a_proxy_broke_off() -> None:
    assert of_engine("tiny", 502, PAGE).failure is Failure.BROKEN
