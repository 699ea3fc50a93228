"""One backend: what its requests make of it, and what its triggers say."""

from __future__ import annotations

from control.specs.trigger import parse_trigger
from serve_apps.gateway.backends.backend import JUDGE_SECONDS, Backend
from serve_apps.gateway.backends.breaker import State
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.health import OPEN_AFTER, OPEN_SECONDS, TRIALS
from serve_apps.gateway.backends.triggers import DWELL_SECONDS
from serve_apps.gateway.errors import ApiError, Failure

ERROR = ApiError(503, "model_unavailable", "it is away")
FAILED = Fault(Failure.FAILED, ERROR, 500)
MISSION = tuple(
    map(parse_trigger, ("error_rate > 0.05", "latency_p99 > 5000ms", "provider_status != healthy")),
)


def backend_of(*triggers: str) -> Backend:
    return Backend("openai", "openai", "gpt-4o", tuple(map(parse_trigger, triggers)) or MISSION)


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
    assert backend.sick(8.0) == ""
    begin(backend, 8.0)


def test_a_key_that_is_not_taken_marks_the_backend_and_says_so() -> None:
    backend = backend_of()
    fail(backend, 0.0, Fault(Failure.FAILED, ERROR, 401), times=OPEN_AFTER)
    closed = backend.closed(1.0)
    assert closed is not None
    assert closed.why == "breaker open for 4.0 s more after 5 failures in a row, the last: answered 401"


def test_triggers_see_errors_and_a_request_that_was_given_up_for_slow() -> None:
    backend = backend_of()
    answer(backend, 0.0, times=94)
    for _ in range(3):
        period = begin(backend, 0.0)
        backend.failed(period, Fault(Failure.SILENT, ERROR), 0.0, 0.0, latency_ms=30000.0)
        answer(backend, 0.0)
    assert backend.sick(1.0) == "latency_p99 30982 ms > 5000 ms over 60 s, 100 requests"
    for _ in range(3):
        fail(backend, 1.0)
        answer(backend, 1.0)
    whole = "error_rate 0.0566 > 0.05 over 60 s, 106 requests; latency_p99 30982 ms > 5000 ms over 60 s, 103 requests"
    assert backend.sick(1.0 + JUDGE_SECONDS) == whole
    assert backend.badness[:2] == (0, 6 / 106)


def test_a_change_of_health_is_seen_by_the_triggers_at_once() -> None:
    backend = backend_of("provider_status != healthy")
    assert backend.sick(0.0) == ""
    fail(backend, 0.0, times=3)
    assert backend.sick(0.0) == "provider_status degraded != healthy"
    assert backend.closed(OPEN_SECONDS) is None
    assert backend.sick(OPEN_SECONDS) == "provider_status healthy, was != healthy and is not better for 10 s yet"
    assert backend.sick(OPEN_SECONDS + DWELL_SECONDS) == ""


def test_triggers_let_trials_pass_and_look_again_when_the_breaker_is_closed() -> None:
    backend = backend_of()
    answer(backend, 0.0, times=20)
    fail(backend, 0.0, times=OPEN_AFTER)
    assert backend.closed(OPEN_SECONDS) is None
    assert backend.sick(OPEN_SECONDS) == ""
    answer(backend, OPEN_SECONDS, times=TRIALS)
    assert backend.sick(OPEN_SECONDS).startswith("error_rate 0.179 > 0.05")


def test_measurements_are_looked_at_four_times_a_second_and_not_for_every_request() -> None:
    backend = backend_of("error_rate > 0.05")
    assert backend.sick(0.0) == ""
    backend.window.record(0.0, True, None)
    for _ in range(19):
        backend.window.record(0.0, False, 100.0)
    backend.window.record(0.0, True, None)
    assert backend.sick(0.9 * JUDGE_SECONDS) == ""
    assert backend.sick(JUDGE_SECONDS)


def test_an_answered_request_wipes_out_the_probes_that_failed() -> None:
    backend = backend_of()
    for _ in range(2 * OPEN_AFTER):
        backend.probed("unreached", 0.0, 0.0)
        backend.probed("unreached", 0.0, 0.0)
        assert backend.health.state is State.HEALTHY
        answer(backend, 0.0)


def test_other_triggers_take_the_place_of_the_last_ones_at_the_next_look() -> None:
    backend = backend_of("error_rate > 0.05")
    answer(backend, 0.0, times=20)
    fail(backend, 0.0, times=2)
    assert backend.sick(0.0)
    backend.triggers = (parse_trigger("error_rate > 0.5"),)
    assert backend.sick(JUDGE_SECONDS) == ""


def test_a_probe_finds_a_dead_backend_and_one_that_is_back() -> None:
    backend = backend_of()
    for number in range(OPEN_AFTER):
        backend.probed("unreached", float(number), 0.0)
    assert backend.begin(4.5) is None
    backend.probed(None, 5.0, 0.0)
    begin(backend, 5.0)
