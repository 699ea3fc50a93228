"""The article's health questions, answered from the store."""

from __future__ import annotations

from typing import Any

from control.health import Health, health_of, traffic_of
from control.kernel.ids import DOMAINS, AppName
from control.kernel.store import Heartbeat, Object
from control.traffic import Traffic, bucket, document

APP = str(AppName("chat", 3, "5e771465", 0, "1ea5e000"))
BEATS = tuple(Heartbeat(name, 99.0, {}) for name in DOMAINS)


def stored(kind: str, name: str, spec: dict[str, Any], status: dict[str, Any]) -> Object:
    return Object(kind, name, "uid", 1, 1, spec, status, created_at=40.0, updated_at=40.0)


def gateway(replica: str, *latencies: float, errors: int = 0) -> Heartbeat:
    counts: dict[int, int] = {}
    for ms in latencies:
        counts[bucket(ms)] = counts.get(bucket(ms), 0) + 1
    return Heartbeat(
        f"gateway:{replica}", 99.0, document({APP: Traffic(len(latencies) + errors, errors, {}, {}, counts)})
    )


def health(*objects: Object, beats: tuple[Heartbeat, ...] = BEATS) -> Health:
    return health_of(objects, beats, 2.0, stale=15.0, now=100.0)


def test_a_plane_that_is_well_has_no_problems() -> None:
    serving = stored(
        "Deployment", "chat", {}, {"phase": "Ready", "reason": "", "arms": [{"version": 3}, {"version": 3}]}
    )
    node = stored("Node", "n0", {"simulated": True, "devices": [{"uuid": "SIM-0", "trouble": ""}] * 4}, {})
    found = health(serving, node)
    assert found.problems == ()
    assert [one.seconds_ago for one in found.components] == [1.0] * len(DOMAINS)
    assert found.servers[0].versions == (3,)
    assert (found.devices.devices, found.devices.held, found.devices.simulated) == (4, 2.0, True)
    assert found.policy == "no ClusterPolicy: the stated defaults"


def test_what_is_silent_waits_or_does_not_serve_is_a_problem() -> None:
    waiting = stored(
        "Workload", "big", {"spec": {"devices": 8}}, {"phase": "Pending", "reason": "n0 is full", "waiting_since": 60.0}
    )
    failed = stored("Deployment", "chat", {}, {"phase": "Failed", "reason": "no such file"})
    sick = stored("Node", "n0", {"devices": [{"uuid": "GPU-1", "trouble": "XID 79"}]}, {})
    beats = (*BEATS[1:], Heartbeat(BEATS[0].actor, 80.0, {}))
    found = health(waiting, failed, sick, beats=beats)
    assert found.problems == (
        "scheduler gives no sign of life",
        "big waits for 8 device(s): n0 is full",
        "deployment chat is Failed: no such file",
        "device GPU-1 (XID 79) is in trouble",
    )
    assert found.backlog[0].seconds == 40.0


def test_a_collection_that_cannot_take_writes_is_a_problem() -> None:
    well = [
        stored("Collection", phase, {}, {"phase": phase, "reason": ""}) for phase in ("Ready", "Rebuilding", "Moving")
    ]
    sick = stored("Collection", "docs", {}, {"phase": "Degraded", "reason": "shard 0 takes no writes"})
    assert health(*well).problems == ()
    assert health(sick).problems == ("collection docs is Degraded: shard 0 takes no writes",)


def test_a_control_actor_that_never_was_seen_is_told() -> None:
    (problem,) = health(beats=BEATS[1:]).problems
    assert problem == "scheduler gives no sign of life"


def test_latency_is_that_of_all_gateway_replicas_together() -> None:
    beats = (
        *BEATS,
        gateway("a", *[10.0] * 98),
        gateway("b", 1000.0, 1000.0, errors=3),
        Heartbeat("gateway:c", 9.0, {}),
    )
    (latency,) = health(beats=beats).latency
    assert (latency.deployment, latency.version, latency.requests, latency.errors) == ("chat", 3, 103, 3)
    assert latency.latency_ms["p50"] is not None
    assert latency.latency_ms["p99"] is not None
    assert abs(latency.latency_ms["p50"] / 10 - 1) < 0.05
    assert abs(latency.latency_ms["p99"] / 1000 - 1) < 0.05
    assert latency.ttft_ms == {"p50": None, "p95": None, "p99": None}
    assert list(traffic_of(beats)) == [APP]
