"""Errors of one dialect in the other, by HTTP status."""

import json
from typing import Any

import pytest

from serve_apps.gateway.dialects.error_object import anthropic_error, openai_error, status_of
from serve_apps.gateway.errors import model_not_found
from tests.serve_apps.gateway.dialects.official import is_anthropic_error


@pytest.mark.parametrize(
    ("status", "anthropic", "openai"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (403, "permission_error", "permission_error"),
        (404, "not_found_error", "invalid_request_error"),
        (413, "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (500, "api_error", "server_error"),
        (502, "api_error", "server_error"),
        (503, "overloaded_error", "server_error"),
        (504, "timeout_error", "server_error"),
        (529, "overloaded_error", "server_error"),
    ],
)
def test_an_error_is_of_the_type_that_its_status_has(status: int, anthropic: str, openai: str) -> None:
    found = anthropic_error({"error": {"message": "m", "type": "x"}}, status)
    assert found == {"type": "error", "error": {"type": anthropic, "message": "m"}}
    assert is_anthropic_error(found)
    assert openai_error(found, status)["error"] == {"message": "m", "type": openai, "param": None, "code": anthropic}


def test_the_gateways_own_refusals_are_said_to_clients_of_anthropics() -> None:
    refusal = model_not_found("x", ["y"])
    found = anthropic_error(json.loads(refusal.body()), refusal.status)
    assert is_anthropic_error(found)
    assert found["error"] == {"type": "not_found_error", "message": refusal.message}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 404, "type": "NotFoundError"}, 404),
        ({"type": "rate_limit_error"}, 429),
        ({"type": "overloaded_error"}, 529),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, 429),
        ({"type": ["x"], "code": 7}, 500),
        ("it broke", 500),
        (None, 500),
    ],
)
def test_an_error_in_a_stream_tells_its_status(error: Any, status: int) -> None:
    assert status_of({"error": error}) == status


@pytest.mark.parametrize("document", [{}, {"error": None}, {"error": {"message": 5}}, {"error": "it broke"}])
def test_an_error_that_says_nothing_is_still_one(document: Any) -> None:
    assert is_anthropic_error(anthropic_error(document, 500))
    assert isinstance(openai_error(document, 500)["error"]["message"], str)
