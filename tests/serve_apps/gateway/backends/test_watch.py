"""A backend as a route's triggers see it: when they keep requests from it, and that each route has its own."""

from __future__ import annotations

from control.specs.trigger import parse_trigger
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.health import OPEN_AFTER, OPEN_SECONDS, TRIALS
from serve_apps.gateway.backends.triggers import DWELL_SECONDS
from serve_apps.gateway.backends.watch import JUDGE_SECONDS, Watch
from serve_apps.gateway.errors import Failure
from tests.serve_apps.gateway.backends.test_backend import ERROR, answer, backend_of, begin, fail

MISSION = ("error_rate > 0.05", "latency_p99 > 5000ms", "provider_status != healthy")


def watched(*triggers: str) -> tuple[Backend, Watch]:
    backend = backend_of()
    return backend, watch_of(backend, *(triggers or MISSION))


def watch_of(backend: Backend, *triggers: str) -> Watch:
    return Watch(backend, tuple(map(parse_trigger, triggers)))


def test_a_backend_that_wants_a_pause_is_not_sick() -> None:
    backend, watch = watched()
    backend.failed(begin(backend, 0.0), Fault(Failure.FAILED, ERROR, 503, 8.0), 0.0, 0.0)
    assert watch.sick(8.0) == ""


def test_each_route_s_triggers_judge_the_backend_they_share_by_themselves() -> None:
    backend, strict = watched("error_rate > 0.05")
    lenient, none = watch_of(backend, "error_rate > 0.5"), watch_of(backend)
    answer(backend, 0.0, times=20)
    fail(backend, 0.0, times=2)
    for now in (0.0, JUDGE_SECONDS, 2 * JUDGE_SECONDS):
        assert strict.sick(now) == "error_rate 0.0909 > 0.05 over 60 s, 22 requests"
        assert (lenient.sick(now), none.sick(now)) == ("", "")


def test_triggers_see_errors_and_a_request_that_was_given_up_for_slow() -> None:
    backend, watch = watched()
    answer(backend, 0.0, times=94)
    for _ in range(3):
        period = begin(backend, 0.0)
        backend.failed(period, Fault(Failure.SILENT, ERROR), 0.0, 0.0, latency_ms=30000.0)
        answer(backend, 0.0)
    assert watch.sick(1.0) == "latency_p99 30982 ms > 5000 ms over 60 s, 100 requests"
    for _ in range(3):
        fail(backend, 1.0)
        answer(backend, 1.0)
    whole = "error_rate 0.0566 > 0.05 over 60 s, 106 requests; latency_p99 30982 ms > 5000 ms over 60 s, 103 requests"
    assert watch.sick(1.0 + JUDGE_SECONDS) == whole
    assert watch.badness[:2] == (0, 6 / 106)


def test_a_change_of_health_is_seen_by_the_triggers_at_once() -> None:
    backend, watch = watched("provider_status != healthy")
    assert watch.sick(0.0) == ""
    fail(backend, 0.0, times=3)
    assert watch.sick(0.0) == "provider_status degraded != healthy"
    assert backend.closed(OPEN_SECONDS) is None
    assert watch.sick(OPEN_SECONDS) == "provider_status healthy, was != healthy and is not better for 10 s yet"
    assert watch.sick(OPEN_SECONDS + DWELL_SECONDS) == ""


def test_triggers_let_trials_pass_and_look_again_when_the_breaker_is_closed() -> None:
    backend, watch = watched()
    answer(backend, 0.0, times=20)
    fail(backend, 0.0, times=OPEN_AFTER)
    assert backend.closed(OPEN_SECONDS) is None
    assert watch.sick(OPEN_SECONDS) == ""
    answer(backend, OPEN_SECONDS, times=TRIALS)
    assert watch.sick(OPEN_SECONDS).startswith("error_rate 0.179 > 0.05")


def test_measurements_are_looked_at_four_times_a_second_and_not_for_every_request() -> None:
    backend, watch = watched("error_rate > 0.05")
    assert watch.sick(0.0) == ""
    backend.window.record(0.0, True, None)
    for _ in range(19):
        backend.window.record(0.0, False, 100.0)
    backend.window.record(0.0, True, None)
    assert watch.sick(0.9 * JUDGE_SECONDS) == ""
    assert watch.sick(JUDGE_SECONDS)


def test_a_trigger_that_fired_stays_fired_from_one_configuration_to_the_next_and_a_new_one_begins_anew() -> None:
    backend, before = watched("provider_status != healthy")
    fail(backend, 0.0, times=3)
    assert before.sick(0.0)
    answer(backend, 1.0)
    both = watch_of(backend, "provider_status != healthy", "error_rate > 0.5")
    both.go_on(before)
    assert both.sick(1.0) == "provider_status healthy, was != healthy and is not better for 10 s yet"
    other = watch_of(backend, "error_rate > 0.5")
    other.go_on(before)
    assert other.sick(1.0) == ""
