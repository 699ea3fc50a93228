"""What every kind of failure says of the backend and of the request."""

from __future__ import annotations

import pytest

from serve_apps.gateway.backends.fault import BUSY_SECONDS, MOST_BUSY_SECONDS, Fault, Meaning
from serve_apps.gateway.errors import ApiError, Failure

ERROR = ApiError(503, "model_unavailable", "it is away")


def answered(status: int | None, retry_after_s: float | None = None) -> Fault:
    return Fault(Failure.FAILED, ERROR, status, retry_after_s)


@pytest.mark.parametrize("status", [400, 405, 410, 413, 415, 422, 499])
def test_a_4xx_about_the_request_is_the_requests_own(status: int) -> None:
    assert answered(status).meaning is Meaning.REQUEST
    assert answered(status, 3.0).meaning is Meaning.REQUEST


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_4xx_about_our_account_is_the_backends(status: int) -> None:
    assert answered(status).meaning is Meaning.DENIED


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 520, 529, 302, 200, None])
def test_what_is_of_the_moment_passes(status: int | None) -> None:
    assert answered(status).meaning is Meaning.PASSING


@pytest.mark.parametrize(
    ("status", "retry_after_s", "closed_s"),
    [
        (429, None, BUSY_SECONDS),
        (429, 7.0, 7.0),
        (503, 7.0, 7.0),
        (529, 0.0, 0.0),
        (429, -3.0, 0.0),
        (429, 86400.0, MOST_BUSY_SECONDS),
    ],
)
def test_a_backend_that_says_when_to_come_back_is_busy_and_not_ill(
    status: int, retry_after_s: float | None, closed_s: float
) -> None:
    fault = answered(status, retry_after_s)
    assert fault.meaning is Meaning.BUSY
    assert not fault.meaning.ill
    assert fault.closed_s == closed_s


def test_a_retry_after_on_another_failure_changes_nothing() -> None:
    assert answered(500, 7.0).meaning is Meaning.PASSING


def test_what_does_not_answer_is_judged_by_how_it_does_not() -> None:
    assert Fault(Failure.UNREACHED, ERROR).meaning is Meaning.PASSING
    assert Fault(Failure.BROKEN, ERROR, 200).meaning is Meaning.PASSING
    assert Fault(Failure.SILENT, ERROR).meaning is Meaning.SILENT
    assert Fault(Failure.UNREACHED, ERROR, unasked="its pool is full").meaning is Meaning.UNASKED


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_content_that_a_policy_refuses_is_the_requests_own_whatever_the_status(status: int) -> None:
    assert Fault(Failure.FAILED, ERROR, status, refused=True).meaning is Meaning.REQUEST


def test_only_what_is_the_backends_own_doing_counts_against_it() -> None:
    assert [meaning for meaning in Meaning if meaning.ill] == [Meaning.DENIED, Meaning.PASSING, Meaning.SILENT]


def test_a_fault_has_words_for_a_header() -> None:
    assert answered(500).words == "answered 500"
    assert Fault(Failure.UNREACHED, ERROR).words == "unreached"
