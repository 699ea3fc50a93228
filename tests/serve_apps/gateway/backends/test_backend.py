"""One backend: what its requests make of it."""

from __future__ import annotations

from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.breaker import State
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.health import OPEN_AFTER, OPEN_SECONDS, TRIALS
from serve_apps.gateway.errors import ApiError, Failure

ERROR = ApiError(503, "model_unavailable", "it is away")
FAILED = Fault(Failure.FAILED, ERROR, 500)


def backend_of() -> Backend:
    return Backend("openai", "openai", "gpt-4o")


def begin(backend: Backend, now: float) -> int:
    period = backend.begin(now)
    assert period is not None
    return period


def fail(backend: Backend, now: float, fault: Fault = FAILED, times: int = 1) -> None:
    for _ in range(times):
        backend.failed(begin(backend, now), fault, now, 0.0)


def answer(backend: Backend, now: float, times: int = 1, ms: float = 100.0) -> None:
    for _ in range(times):
        backend.answered(begin(backend, now), now, ms)


def test_failures_in_a_row_open_the_breaker_and_trials_close_it() -> None:
    backend = backend_of()
    fail(backend, 0.0, times=OPEN_AFTER)
    assert backend.begin(1.0) is None
    periods = [begin(backend, OPEN_SECONDS) for _ in range(TRIALS)]
    assert backend.begin(OPEN_SECONDS) is None
    for period in periods:
        backend.answered(period, OPEN_SECONDS, 100.0)
    assert backend.health.state is State.HEALTHY


def test_a_client_that_leaves_frees_its_trial() -> None:
    backend = backend_of()
    fail(backend, 0.0, times=OPEN_AFTER)
    for _ in range(3 * TRIALS):
        backend.left(begin(backend, OPEN_SECONDS), OPEN_SECONDS)
    assert backend.health.state is State.HALF_OPEN


def test_a_request_at_fault_is_neither_for_nor_against_the_backend() -> None:
    backend = backend_of()
    fail(backend, 0.0, times=2)
    fail(backend, 0.0, Fault(Failure.FAILED, ERROR, 400), times=50)
    assert (backend.health.failures, backend.window.read(0.0, 60.0).requests) == (2, 2)


def test_a_retry_after_closes_it_until_then_without_a_mark_against_it() -> None:
    backend = backend_of()
    for _ in range(OPEN_AFTER):
        period = begin(backend, 0.0)
        backend.failed(period, Fault(Failure.FAILED, ERROR, 429, 0.0), 0.0, 0.0)
    backend.failed(begin(backend, 0.0), Fault(Failure.FAILED, ERROR, 503, 8.0), 0.0, 0.0)
    assert backend.begin(7.9) is None
    assert (backend.health.failures, backend.window.read(8.0, 60.0).requests) == (0, 0)
    begin(backend, 8.0)


def test_a_key_that_is_not_taken_marks_the_backend_and_says_so() -> None:
    backend = backend_of()
    fail(backend, 0.0, Fault(Failure.FAILED, ERROR, 401), times=OPEN_AFTER)
    closed = backend.closed(1.0)
    assert closed is not None
    assert closed.why == "breaker open for 4.0 s more after 5 failures in a row, the last: answered 401"


def test_an_answered_request_wipes_out_the_probes_that_failed() -> None:
    backend = backend_of()
    for _ in range(2 * OPEN_AFTER):
        backend.probed("unreached", 0.0, 0.0)
        backend.probed("unreached", 0.0, 0.0)
        assert backend.health.state is State.HEALTHY
        answer(backend, 0.0)


def test_a_probe_finds_a_dead_backend_and_one_that_is_back() -> None:
    backend = backend_of()
    for number in range(OPEN_AFTER):
        backend.probed("unreached", float(number), 0.0)
    assert backend.begin(4.5) is None
    backend.probed(None, 5.0, 0.0)
    begin(backend, 5.0)
