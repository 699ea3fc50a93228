"""What never happens in autoscaling, whatever replicas, gateways, schedulers and clocks do."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from control.engine_report import EngineReport
from control.router.autoscale import scale
from control.router.autoscale_state import Scale, ScaleLook, from_json, to_json
from control.specs.autoscaling import AutoscalingSpec
from control.specs.sla import Sla
from control.traffic import Traffic

SPECS = tuple(
    AutoscalingSpec.model_validate(written)
    for written in (
        {"max": 1},
        {"max": 8},
        {"min": 2, "max": 5, "up_after": 0, "down_after": 0},
        {"min": 0, "max": 3, "idle": 1, "down_after": "20s", "wake": 30},
        {"min": 0, "max": 6, "ongoing": 4, "ttft_ms": 200},
        {"min": 4, "max": 4},
    )
)
SLAS = (Sla(), Sla(spares=2), Sla(ttft_ms=100, spares=1))
briefly = settings(max_examples=40, deadline=None)
engines = st.builds(
    EngineReport,
    url=st.just(""),
    accepts=st.sampled_from([True, True, True, False]),
    running=st.sampled_from([0, 1, 7, 10]),
    waiting=st.sampled_from([0, 0, 1, 50, 5000]),
    kv_usage=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    most_running=st.sampled_from([0, 10]),
    requests=st.sampled_from([0, 10, 100, 1000]),
)
specs, slas = st.sampled_from(SPECS), st.sampled_from(SLAS)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Scale, list[ScaleLook]]:
    """Looks in which anything may change, reports that lack and a clock that goes back included."""
    looks: list[ScaleLook] = []
    now, spec, sla = 1000.0, draw(specs), draw(slas)
    for _ in range(draw(st.integers(1, 10))):
        now += draw(st.sampled_from([0, 1, 6, 10, 25, 400, -40]))
        if draw(st.integers(0, 5)) == 0:
            spec, sla = draw(specs), draw(slas)
        serving = draw(st.integers(0, 6))
        told = draw(st.lists(engines, max_size=serving))
        told = told[:1] * serving if draw(st.booleans()) else told
        reports = tuple(replace(one, url=f"http://{number}") for number, one in enumerate(told))
        slow = draw(st.sampled_from([0, 0, 30]))
        looks.append(
            ScaleLook(
                now,
                spec,
                sla,
                serving,
                reports,
                Traffic(slow, 0, {draw(st.integers(0, 100)): slow}),
                draw(st.sampled_from([None, None, now, now + 5, now - 3, now - 1000])),
                draw(st.sampled_from(["", "", "", "no node has a free device"])),
            )
        )
    return Scale(needed=draw(st.integers(0, 12))), looks


def course(history: tuple[Scale, list[ScaleLook]]) -> list[tuple[Scale, ScaleLook, Scale]]:
    now, found = history[0], []
    for look in history[1]:
        later = scale(now, look)
        found.append((now, look, later))
        now = later
    return found


@given(histories())
@briefly
def test_the_number_stays_within_its_bounds(history: tuple[Scale, list[ScaleLook]]) -> None:
    for _, look, now in course(history):
        assert look.spec.min <= now.needed <= look.spec.max
        assert now.spares == (look.sla.spares if now.needed else 0)
        assert look.spec.min <= now.replicas <= look.spec.max + look.sla.spares


@given(histories())
@briefly
def test_deciding_twice_on_one_look_changes_nothing(history: tuple[Scale, list[ScaleLook]]) -> None:
    for _, look, now in course(history):
        assert scale(now, look) == now


@given(histories())
@briefly
def test_what_is_read_again_from_the_store_decides_alike(history: tuple[Scale, list[ScaleLook]]) -> None:
    for before, look, now in course(history):
        assert from_json(json.loads(json.dumps(to_json(before)))) == before
        assert scale(from_json(json.loads(json.dumps(to_json(before)))), look) == now


@given(histories())
@briefly
def test_every_change_has_a_reason_and_more_are_at_most_twice_as_many(history: tuple[Scale, list[ScaleLook]]) -> None:
    for before, look, now in course(history):
        if now.replicas != before.replicas:
            assert now.reason.startswith(f"{before.replicas} → {now.replicas}: ")
            assert now.since == look.now
        within = look.spec.min <= before.needed <= look.spec.max
        if within and before.spares == now.spares and now.needed > before.needed:
            assert now.needed <= max(1, 2 * before.needed)


@given(histories())
@briefly
def test_without_a_single_report_a_model_that_serves_is_neither_grown_nor_shrunk(
    history: tuple[Scale, list[ScaleLook]],
) -> None:
    for before, look, now in course(history):
        if not look.reports and look.serving and before.needed:
            assert now.needed == min(max(before.needed, look.spec.min), look.spec.max)


@given(
    st.sampled_from([SPECS[1], SPECS[2], SPECS[4]]),
    slas,
    st.floats(0, 60),
    st.floats(0, 12),
    st.integers(0, 80),
    st.integers(1, 8),
    st.integers(0, 70),
)
@settings(max_examples=15, deadline=None)
def test_under_a_constant_load_it_settles_and_stays(
    spec: AutoscalingSpec, sla: Sla, running: float, cache: float, waiting: int, needed: int, loads: int
) -> None:
    """A load that spreads over the replicas that serve; each that is added serves after `loads` seconds."""
    now, serving, numbers = Scale(needed), needed, []
    coming: list[tuple[int, int]] = []
    for second in range(0, 2000, 10):
        serving += sum(count for at, count in coming if at <= second)
        coming = [(at, count) for at, count in coming if at > second]
        each = EngineReport(
            "",
            running=min(10, ceil(running / serving)),
            waiting=waiting // serving,
            kv_usage=min(1.0, cache / serving),
            most_running=10,
        )
        reports = tuple(replace(each, url=f"http://{number}") for number in range(serving))
        before, now = now, scale(now, ScaleLook(1000.0 + second, spec, sla, serving, reports, Traffic(1)))
        if now.replicas > before.replicas:
            coming.append((second + loads, now.replicas - before.replicas))
        elif now.replicas < before.replicas:
            serving, coming = min(serving, now.replicas), []
        numbers.append(now.replicas)
    assert len(set(numbers[-50:])) == 1
    turns = [late - early for early, late in pairwise(numbers) if late != early]
    assert sum((one > 0) != (other > 0) for one, other in pairwise(turns)) <= 2
