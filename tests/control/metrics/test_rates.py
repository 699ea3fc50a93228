"""What deployments and replicas did between two looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control import device_load, engine_report, traffic
from control.engine_report import EngineReport
from control.kernel.store import Heartbeat, Object
from control.metrics.rates import DeploymentRow, rows
from control.metrics.reading import Reading, reading_of
from control.specs.inventory import DeviceLoad
from control.traffic import Traffic, bucket


def app(replica: int, version: int = 3, deployment: str = "chat") -> str:
    return f"llm:{deployment}:{version}:ab12cd34:{replica}:ef56ab78"


def gateway(at: float, apps: dict[str, Traffic], name: str = "g1") -> Heartbeat:
    return Heartbeat(traffic.BEAT_PREFIX + name, at, traffic.document(apps))


def engine(at: float, replica: int = 0, **figures: Any) -> Heartbeat:
    body = engine_report.document(EngineReport("u", **figures))
    return Heartbeat(engine_report.BEAT_PREFIX + app(replica), at, body)


def stored(kind: str, name: str, spec: dict[str, Any], status: dict[str, Any]) -> Object:
    return Object(kind, name, "uid", 1, 1, spec, status, created_at=0.0, updated_at=0.0)


def deployment(*replicas: int) -> Object:
    arm = {"version": 3, "replicas": [{"app": app(replica)} for replica in replicas]}
    status = {"phase": "Ready", "replicas": {"wanted": 2, "serving": len(replicas)}, "arms": [arm]}
    return stored("Deployment", "chat", {}, status)


def look(at: float, *of: Object | Heartbeat) -> Reading:
    objects = [one for one in of if isinstance(one, Object)]
    return reading_of(objects, [one for one in of if isinstance(one, Heartbeat)], at)


def only(before: Reading, after: Reading) -> DeploymentRow:
    (row,) = rows(before, after)
    return row


def test_rates_are_over_the_time_between_a_gateway_s_own_writings() -> None:
    before = look(10.9, gateway(10.0, {app(0): Traffic(100, 1)}), gateway(10.5, {app(0): Traffic(7)}, "g2"))
    after = look(12.1, gateway(12.0, {app(0): Traffic(160, 5)}), gateway(11.5, {app(0): Traffic(17)}, "g2"))
    (replica,) = only(before, after).replicas
    assert replica.figures.requests == 30.0 + 10.0
    assert replica.figures.errors == 2.0


def test_times_are_of_what_came_between_the_looks_only() -> None:
    slow, fast = {bucket(900.0): 1000}, {bucket(20.0): 99, bucket(300.0): 1}
    both = {**slow, **fast}
    before = look(10.0, gateway(10.0, {app(0): Traffic(1000, 0, slow, slow, slow)}))
    after = look(12.0, gateway(12.0, {app(0): Traffic(1100, 0, both, both, both)}))
    figures = only(before, after).figures
    assert figures.ttft_p50 == pytest.approx(20.0, rel=0.05)
    assert figures.itl_p99 == pytest.approx(20.0, rel=0.05)
    assert figures.requests == 50.0
    assert rows(after, after) == (), "an application without an engine, that nobody names, and of which nothing came"


def test_tokens_and_prefix_hits_are_differences_and_a_replica_that_began_anew_counts_from_zero() -> None:
    before = look(10.0, engine(9.5, generated_tokens=500, prefix_queries=1000, prefix_hits=900))
    after = look(12.0, engine(11.5, generated_tokens=700, prefix_queries=1100, prefix_hits=925))
    figures = only(before, after).figures
    assert (figures.tokens, figures.prefix_hits) == (100.0, 0.25)
    anew = look(12.0, engine(11.5, generated_tokens=40, prefix_queries=10, prefix_hits=5))
    assert (only(before, anew).figures.tokens, only(before, anew).figures.prefix_hits) == (20.0, 0.5)


def test_a_look_in_which_nobody_wrote_has_no_rate_and_no_division_by_zero() -> None:
    one = look(10.0, engine(10.0, generated_tokens=5), gateway(10.0, {app(0): Traffic(5)}))
    figures = only(one, one).figures
    assert (figures.requests, figures.tokens, figures.ttft_p50, figures.prefix_hits) == (0.0, 0.0, None, None)


def test_a_gateway_that_was_not_there_before_adds_no_rate() -> None:
    before = look(10.0, engine(10.0))
    after = look(11.0, engine(11.0), gateway(11.0, {app(0): Traffic(5000)}, "new"))
    assert only(before, after).figures.requests == 0.0


def test_a_deployment_is_its_replicas_together() -> None:
    def engines(at: float, tokens: int) -> tuple[Heartbeat, ...]:
        return (
            engine(at, 0, running=3, waiting=1, kv_usage=0.5, kv_tokens=100, generated_tokens=tokens),
            engine(at, 1, running=2, waiting=0, kv_usage=1.0, kv_tokens=300, generated_tokens=2 * tokens),
        )

    row = only(look(10.0, *engines(10.0, 0)), look(12.0, *engines(12.0, 50), deployment(0, 1)))
    assert (row.name, row.phase, row.serving, row.wanted) == ("chat", "Ready", 2, 2)
    assert [one.replica for one in row.replicas] == ["0", "1"]
    assert [one.figures.tokens for one in row.replicas] == [25.0, 50.0]
    figures = row.figures
    assert (figures.tokens, figures.running, figures.waiting, figures.kv_usage) == (75.0, 5, 1, 0.875)


def test_an_engine_that_only_reads_prompts_is_shown_with_its_replica_and_counted_in_no_sum() -> None:
    def engines(at: float, done: int) -> tuple[Heartbeat, ...]:
        reader = replace(engine(at, 0, waiting=7, generated_tokens=done), actor=f"{engine(at, 0).actor}/prefill-0")
        return engine(at, 0, waiting=1, generated_tokens=10 * done), reader

    row = only(look(10.0, *engines(10.0, 0)), look(12.0, *engines(12.0, 20)))
    assert [(one.replica, one.figures.waiting) for one in row.replicas] == [("0", 1), ("0/prefill-0", 7)]
    assert (row.figures.tokens, row.figures.waiting) == (100.0, 1)


def test_the_devices_of_a_replica_tell_how_busy_they_are_or_that_they_are_simulated() -> None:
    def lease(replica: int, *devices: str) -> Object:
        status = {"phase": "Leased", "lease": {"pieces": [{"devices": list(devices), "milli": 1000}]}}
        return stored("Workload", f"app.chat.3.ab12cd34.{replica}", {}, status)

    real = stored("Node", "n0", {"simulated": False, "devices": [{"uuid": "GPU-0"}, {"uuid": "GPU-1"}]}, {})
    unreal = stored("Node", "n1", {"simulated": True, "devices": [{"uuid": "SIM-0"}]}, {})
    body = device_load.document([DeviceLoad("GPU-0", 0.8, 1, 2), DeviceLoad("GPU-1", 0.4, 1, 2)])
    after = look(
        10.0,
        engine(10.0, 0),
        engine(10.0, 1),
        engine(10.0, 2),
        real,
        unreal,
        lease(0, "GPU-0", "GPU-1"),
        lease(1, "SIM-0"),
        Heartbeat(f"{device_load.BEAT_PREFIX}n0", 10.0, body),
    )
    row = only(look(9.0), after)
    assert [one.figures.gpu for one in row.replicas] == [pytest.approx(0.6), None, None]
    assert [one.simulated for one in row.replicas] == [False, True, False]
    assert row.figures.gpu == pytest.approx(0.6)
    assert not row.simulated


@pytest.mark.parametrize(
    ("beats", "phase"),
    [
        ((engine(10.0),), "serves"),
        ((engine(10.0, accepts=False),), "drains"),
        ((engine(10.0, trouble="it generates no token"),), "it generates no token"),
        ((engine(5.0, running=1),), "silent"),
        ((), "no report"),
    ],
)
def test_a_replica_s_phase_is_what_its_report_says(beats: tuple[Heartbeat, ...], phase: str) -> None:
    (replica,) = only(look(9.0), look(10.0, *beats, deployment(0))).replicas
    assert replica.phase == phase


def test_a_replica_that_was_ended_is_gone_with_its_last_report() -> None:
    assert [one.replica for one in only(look(9.0), look(10.0, engine(5.0, 1), deployment(0))).replicas] == ["0"]


def test_a_deployment_that_sleeps_stands_there_and_one_that_was_deleted_while_it_runs_too() -> None:
    asleep = stored("Deployment", "night", {}, {"phase": "Asleep", "replicas": {"wanted": 0, "serving": 0}})
    found = rows(look(9.0), look(10.0, asleep, engine(10.0)))
    assert [(row.name, row.phase, len(row.replicas)) for row in found] == [
        ("chat", "Deleted", 1),
        ("night", "Asleep", 0),
    ]
