"""How many replicas a deployment comes to have: each rule, its waiting, and what it must not do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from control.engine_report import EngineReport
from control.router.autoscale import SETTLE_SECONDS, scale
from control.router.autoscale_state import Mark, Scale, ScaleLook, from_json, to_json
from control.specs.autoscaling import AutoscalingSpec
from control.specs.sla import Sla
from control.traffic import Traffic, bucket

SPEC = AutoscalingSpec(min=1, max=8)
SLEEPY = AutoscalingSpec(min=0, max=4)
TRAFFIC = Traffic(100, 0, {bucket(50): 100})


def late(ms: float) -> Traffic:
    return Traffic(100, 0, {bucket(ms): 100})


def reports(replicas: int, requests: int = 0, **each: Any) -> tuple[EngineReport, ...]:
    """Engines that run 10 requests at most, with the same figures each."""
    figures = {"most_running": 10, **each}
    return tuple(EngineReport(f"http://{number}", requests=requests, **figures) for number in range(replicas))


def look(now: float, serving: int, spec: AutoscalingSpec = SPEC, **seen: Any) -> ScaleLook:
    """`serving` replicas without a request, unless `seen` says more."""
    return ScaleLook(now, spec, **{"sla": Sla(), "serving": serving, "reports": reports(serving), **seen})


def settled(needed: int, look: ScaleLook) -> Scale:
    """As it is after the same look for long enough."""
    return scale(Scale(needed, look.sla.spares, full=look.now - SETTLE_SECONDS), look)


def after(seconds: float, before: ScaleLook, **seen: Any) -> ScaleLook:
    return replace(before, now=before.now + seconds, **seen)


def test_a_queue_above_its_target_adds_replicas_after_a_while() -> None:
    queue = look(100.0, 2, reports=reports(2, running=3, waiting=5))
    now = settled(2, queue)
    assert now.replicas == 2
    now = scale(now, after(4.9, queue))
    assert now.replicas == 2
    now = scale(now, after(5.0, queue))
    assert (now.replicas, now.since) == (3, 105.0)
    assert now.reason == "2 → 3: 10 requests wait on 2 replicas (target 4 a replica)"


@pytest.mark.parametrize(
    ("seen", "replicas", "why"),
    [
        ({"reports": reports(4, kv_usage=0.97)}, 5, "97 % of the KV cache on 4 replicas is in use (target 80 %)"),
        ({"reports": reports(4, running=9)}, 5, "36 requests run on 4 replicas (target 8 a replica)"),
        ({"reports": reports(4, waiting=40)}, 8, "160 requests wait on 4 replicas (target 4 a replica)"),
        (
            {"reports": reports(4, running=2), "recent": late(450), "sla": Sla(ttft_ms=300)},
            5,
            "the p95 of the time to first token is 468 ms on 4 replicas (target 300 ms)",
        ),
    ],
)
def test_any_figure_above_its_target_is_a_reason(seen: dict[str, Any], replicas: int, why: str) -> None:
    pressed = look(100.0, 4, **seen)
    now = scale(settled(4, pressed), after(5, pressed))
    assert (now.replicas, now.reason) == (replicas, f"4 → {replicas}: {why}")


def test_the_targets_are_the_specs_where_it_has_some() -> None:
    spec = AutoscalingSpec(max=8, ongoing=2, ttft_ms=1000)
    pressed = look(100.0, 2, spec, reports=reports(2, running=3), recent=late(450), sla=Sla(ttft_ms=300))
    assert scale(settled(2, pressed), after(5, pressed)).reason == (
        "2 → 3: 6 requests run on 2 replicas (target 2 a replica)"
    )


def test_late_first_tokens_are_no_reason_where_every_request_has_a_replica_of_its_own() -> None:
    alone = look(100.0, 4, reports=reports(4, running=1), recent=late(3000), sla=Sla(ttft_ms=300))
    now = scale(settled(4, alone), after(5, alone))
    assert (now.replicas, now.pressed) == (4, None)


def test_a_pressure_that_lets_go_for_one_look_waits_anew() -> None:
    queue = look(100.0, 2, reports=reports(2, waiting=9))
    now = scale(settled(2, queue), after(3, queue, reports=reports(2)))
    now = scale(now, after(4, queue))
    assert scale(now, after(6, queue)).replicas == 2
    assert scale(now, after(9, queue)).replicas == 4


def test_deciding_again_on_the_same_look_moves_no_further() -> None:
    busy = look(100.0, 6, AutoscalingSpec(max=8, up_after=0), reports=reports(6, running=10))
    now = scale(Scale(2), busy)
    assert now.replicas == 4
    assert scale(now, busy) == now
    assert scale(now, after(1, busy)).replicas == 8


def test_at_once_it_is_never_more_than_doubled() -> None:
    queue = look(100.0, 1, reports=reports(1, waiting=1000))
    assert scale(settled(1, queue), after(5, queue)).replicas == 2


def test_replicas_that_load_count_as_capacity_to_come() -> None:
    """A queue grows all the time that they load: that must not order more of them, nor do so before it has drained."""
    queue = look(100.0, 1, reports=reports(1, running=10, waiting=6))
    now = scale(settled(1, queue), after(5, queue))
    assert now.replicas == 2
    for second in range(6, 66):
        now = scale(now, after(second, queue, reports=reports(1, running=10, waiting=6 + second, requests=0)))
    assert now.replicas == 2
    now = scale(now, after(66, queue, serving=2, reports=reports(2, running=10, waiting=30)))
    now = scale(now, after(66 + SETTLE_SECONDS - 1, queue, serving=2, reports=reports(2, running=10, waiting=20)))
    assert now.replicas == 2
    now = scale(now, after(66 + SETTLE_SECONDS, queue, serving=2, reports=reports(2, running=10, waiting=20)))
    now = scale(now, after(71 + SETTLE_SECONDS, queue, serving=2, reports=reports(2, running=10, waiting=20)))
    assert now.replicas == 4


def test_while_replicas_are_saturated_the_flow_says_how_many_would_keep_up() -> None:
    """20 requests finish in ten seconds and 80 come: four times as many replicas, a fifth of them for room."""
    begins = look(100.0, 1, reports=reports(1, requests=0, running=10, waiting=10))
    ends = after(10, begins, reports=reports(1, requests=20, running=10, waiting=70))
    now = settled(1, begins)
    for second in range(1, 10):
        now = scale(now, after(second, begins))
    assert now.replicas == 2
    now = scale(now, ends)
    assert now.flow == 5.0
    now = scale(scale(now, after(1, ends)), after(6, ends))
    assert now.replicas == 4
    assert scale(now, after(7, ends)).replicas == 4
    assert "70 requests wait on 1 replica (target 4 a replica); 5 replicas would keep up" in now.reason
    assert scale(now, after(12, ends)).replicas == 5


def test_a_queue_that_drains_is_no_reason_for_more() -> None:
    begins = look(100.0, 2, reports=reports(2, requests=0, running=10, waiting=30))
    drains = after(10, begins, reports=reports(2, requests=100, running=10, waiting=5))
    now = scale(scale(Scale(2, full=0.0), begins), drains)
    assert now.flow == 1.88  # 2 · 150 / 200 / 0.8
    assert scale(now, after(9, drains)).replicas == 2


def test_the_flow_leaves_as_much_room_as_the_spec_does() -> None:
    begins = look(100.0, 2, AutoscalingSpec(max=8, ongoing=5), reports=reports(2, requests=0, waiting=1))
    ends = after(10, begins, reports=reports(2, requests=100, waiting=1))
    assert scale(scale(Scale(2), begins), ends).flow == 4.0


@pytest.mark.parametrize("full", [{"kv_usage": 1.0, "running": 6}, {"running": 10}])
def test_engines_are_full_until_the_queue_has_drained_whatever_comes(full: dict[str, Any]) -> None:
    begins = look(100.0, 4, reports=reports(4, requests=0, waiting=30, **full))
    drains = after(10, begins, reports=reports(4, requests=100, waiting=1, **full))
    now = scale(scale(Scale(4, full=0.0), begins), drains)
    assert now.flow is not None
    assert now.flow < 4
    assert scale(now, after(9, drains)).replicas == 4
    drained = after(10, drains, reports=reports(4, requests=200, **full))
    assert scale(scale(now, drained), after(9, drained)).replicas == 5


def test_a_queue_on_one_replica_of_four_adds_one() -> None:
    behind_one = (EngineReport("http://9", waiting=80), *reports(3))
    queue = look(100.0, 4, reports=behind_one)
    assert scale(settled(4, queue), after(5, queue)).replicas == 5


def test_of_a_few_first_tokens_no_quantile_is_read() -> None:
    few = look(100.0, 2, reports=reports(2, running=3), recent=Traffic(19, 0, {90: 19}), sla=Sla(ttft_ms=300))
    now = settled(2, few)
    assert (now.pressed, settled(2, replace(few, recent=Traffic(20, 0, {90: 20}))).pressed) == (None, 100.0)


def test_none_is_taken_away_that_the_flow_needs() -> None:
    begins = look(100.0, 3, reports=reports(3, requests=0, running=2, waiting=1))
    ends = after(10, begins, reports=reports(3, requests=100, running=2, waiting=1))
    now = scale(scale(Scale(5, full=0.0), begins), ends)
    assert (now.flow, now.peak) == (3.75, 0)  # 3.75 / 0.9 rounds up to five


@pytest.mark.parametrize("finished", [19, -5])
def test_of_a_few_finished_requests_there_is_no_flow(finished: int) -> None:
    begins = look(100.0, 1, reports=reports(1, requests=50, waiting=1))
    now = scale(Scale(1), begins)
    for second in range(10, 90, 10):
        now = scale(now, after(second, begins, reports=reports(1, requests=50 + finished, waiting=60)))
    assert now.flow is None


def test_a_flow_is_not_measured_from_long_ago() -> None:
    """Who stores a scale only when something else of it changes may bring back an old mark."""
    begins = look(100.0, 1, reports=reports(1, requests=0, waiting=1))
    hours_later = after(9000, begins, reports=reports(1, requests=9000, waiting=50))
    now = scale(scale(Scale(1), begins), hours_later)
    assert (now.flow, now.mark and now.mark.at) == (None, 9100.0)


def test_a_flow_is_not_measured_over_other_replicas_and_is_forgotten() -> None:
    begins = look(100.0, 1, reports=reports(1, requests=50, waiting=1))
    another = after(10, begins, serving=2, reports=reports(2, requests=100, waiting=1))
    now = scale(scale(Scale(2), begins), another)
    assert now.flow is None
    now = scale(now, after(20, begins, serving=2, reports=reports(2, requests=120, waiting=1)))
    assert now.flow == 2.5
    assert scale(now, after(90, begins, serving=2, reports=reports(2, requests=200))).flow is None


def test_fewer_only_after_a_long_quiet_and_no_fewer_than_were_needed_meanwhile() -> None:
    quiet = look(100.0, 6, reports=reports(6, running=1))
    now = settled(6, quiet)
    busier = after(200, quiet, reports=reports(6, running=3))
    for one in (busier, after(201, quiet), after(299, quiet)):
        now = scale(now, one)
        assert now.replicas == 6
    now = scale(now, after(300, quiet))
    assert (now.replicas, now.reason) == (3, "6 → 3: no more was needed for 5m")


def test_a_moment_that_needs_them_all_begins_the_quiet_anew() -> None:
    quiet = look(100.0, 2)
    now = scale(settled(2, quiet), after(299, quiet, reports=reports(2, running=6)))
    assert scale(now, after(300, quiet)).replicas == 2


@pytest.mark.parametrize(
    "seen",
    [
        {"reports": reports(2, running=4, kv_usage=0.37)},  # 0.74 on one: above nine tenths of 0.8
        {"reports": reports(2, running=4)},  # 8 on one
        {"reports": reports(2, waiting=2)},
        {"reports": reports(2, running=2), "recent": late(290), "sla": Sla(ttft_ms=300)},
        {"reports": reports(1)},  # of the other nothing is known
        {"reports": (*reports(1), EngineReport("http://1", accepts=False))},
    ],
)
def test_none_is_taken_away_that_the_load_would_miss(seen: dict[str, Any]) -> None:
    held = look(100.0, 2, **seen)
    assert scale(settled(2, held), after(900, held)).replicas == 2


def test_without_figures_nothing_changes() -> None:
    busy = look(100.0, 3, reports=reports(3, waiting=90))
    nothing = after(1, busy, reports=())
    now = settled(3, busy)
    for second in (1, 10, 1000):
        now = scale(now, after(second, nothing))
        assert (now.replicas, now.pressed, now.quiet) == (3, None, None)


def test_what_the_scheduler_cannot_place_is_told_and_not_asked_for_again_and_again() -> None:
    busy = look(100.0, 2, AutoscalingSpec(max=8, ongoing=2), reports=reports(2, running=4))
    now = scale(settled(2, busy), after(5, busy))
    refused = after(6, busy, refusal="no node has a free device", reports=reports(2, running=10))
    for second in range(200):
        now = scale(now, after(second, refused))
        assert now.replicas == 4
    assert now.reason == (
        "2 → 4: 8 requests run on 2 replicas (target 2 a replica); "
        "not all of them can be placed: no node has a free device"
    )
    placed = after(300, refused, serving=4, reports=reports(4, running=6))
    now = scale(now, placed)
    assert "placed" not in now.reason
    assert scale(now, after(5, placed)).replicas == 8


def test_what_could_not_be_placed_is_given_up_once_it_is_not_needed() -> None:
    refused = look(100.0, 2, refusal="no node has a free device")
    assert scale(settled(4, refused), after(300, refused)).replicas == 1


def test_the_bounds_hold_from_the_first_look_on() -> None:
    narrow = AutoscalingSpec(min=2, max=3)
    assert scale(Scale(9), look(1.0, 9, narrow)).replicas == 3
    now = scale(Scale(1), look(1.0, 1, narrow))
    assert (now.replicas, now.reason) == (2, "1 → 2: 2 to 3 replicas are wanted")


def test_spares_stand_beyond_what_the_load_needs_and_beyond_the_max() -> None:
    spare = look(100.0, 2, AutoscalingSpec(max=2), sla=Sla(spares=1), reports=reports(2, waiting=9))
    now = scale(Scale(2, full=0.0), spare)
    assert (now.replicas, now.reason) == (3, "2 → 3: 1 to 2 replicas and 1 spare are wanted")
    assert scale(scale(now, after(30, spare, serving=3)), after(60, spare, serving=3)).replicas == 3
    assert scale(now, after(1, spare, sla=Sla())).replicas == 2


def test_an_idle_model_sleeps_without_its_spares() -> None:
    idle = look(100.0, 3, SLEEPY, sla=Sla(spares=1))
    now = scale(settled(2, idle), after(599, idle))
    assert now.replicas == 2  # no more was needed for five minutes
    now = scale(now, after(600, idle, serving=2, reports=reports(2)))
    assert (now.replicas, now.needed, now.spares) == (0, 0, 0)
    assert now.reason == "2 → 0: no request for 10m"


@pytest.mark.parametrize(
    "seen",
    [
        {"recent": TRAFFIC},
        {"reports": reports(1, running=1)},
        {"reports": ()},
        {"reports": (*reports(1), EngineReport("http://1", accepts=False, running=1))},
        {"wake_asked": 650.0},
    ],
)
def test_a_model_that_may_be_used_does_not_sleep(seen: dict[str, Any]) -> None:
    idle = look(100.0, 1, SLEEPY)
    now = scale(settled(1, idle), after(590, idle, **seen))
    assert scale(now, after(600, idle, **seen)).replicas == 1
    assert scale(now, after(650, idle)).replicas == 1


def test_a_model_with_a_min_of_one_never_sleeps() -> None:
    idle = look(100.0, 1)
    assert scale(settled(1, idle), after(100_000, idle)).replicas == 1


def test_a_request_wakes_the_model_and_it_stays_awake_while_it_loads() -> None:
    asleep = Scale(0, since=50.0)
    now = scale(asleep, look(100.0, 0, SLEEPY, wake_asked=99.0, sla=Sla(spares=1)))
    assert (now.replicas, now.reason) == (2, "0 → 2: a request waits for the model to wake up")
    assert scale(now, look(160.0, 0, SLEEPY, wake_asked=99.0, sla=Sla(spares=1))).replicas == 2


def test_a_wake_before_the_sleep_or_long_ago_wakes_nobody() -> None:
    assert scale(Scale(0, since=50.0), look(51.0, 0, SLEEPY, wake_asked=49.0)).replicas == 0
    assert scale(Scale(0, since=50.0), look(500.0, 0, SLEEPY, wake_asked=300.0)).replicas == 0
    assert scale(Scale(0, since=50.0), look(500.0, 0, SLEEPY, wake_asked=499.0)).replicas == 1


def test_what_never_comes_up_is_let_go_when_nobody_asks_any_more() -> None:
    gone = look(100.0, 0, SLEEPY, wake_asked=99.0)
    now = scale(Scale(0), gone)
    now = scale(now, after(700, gone))
    assert now.replicas == 1
    assert scale(now, after(1300, gone)).replicas == 0


def test_a_clock_that_went_back_only_delays() -> None:
    queue = look(1000.0, 2, reports=reports(2, waiting=9))
    now = scale(settled(2, queue), after(-500, queue))
    now = scale(now, after(-490, queue))
    now = scale(now, after(-470, queue))
    assert now.replicas == 2
    assert scale(now, after(-465, queue)).replicas == 4


def test_what_is_stored_is_read_again() -> None:
    full = Scale(3, 1, 5.0, "2 → 4: why", "no device", 1.0, 2.0, 2, 3.0, 4.0, Mark(6.0, {"http://0 1": 7}, 8), 1.5, 9.0)
    for one in (Scale(), full):
        told = json.loads(json.dumps(to_json(one)))
        assert from_json(told) == one
        assert (told["replicas"], told["reason"]) == (one.replicas, one.reason)
    assert from_json({"needed": 2, "of a newer Biplane": 1}) == Scale(2)
