"""The bench of autoscaling: every request is served, and the same seed tells the same."""

from __future__ import annotations

import pytest

from scripts.bench.autoscale import FIRST, MOST, POLICIES, World, measure, ray, requests_of

HOUR = 0.4


@pytest.mark.parametrize("policy", POLICIES)
def test_every_request_is_served_and_the_same_seed_tells_the_same(policy: str) -> None:
    requests = requests_of(1, HOUR / 4)
    row, again = (measure(policy, requests) for _ in range(2))
    assert row | {"took_s": 0} == again | {"took_s": 0}
    assert row["requests"] == len(requests.came) > 1000
    assert 0.08 <= float(row["ttft_p99_s"]) <= float(row["late_s"]) < 60


def test_more_replicas_miss_less_and_cost_more() -> None:
    requests = requests_of(1, HOUR)
    ours, fixed = (measure(policy, requests) for policy in ("biplane", "fixed"))
    assert fixed["replica_hours"] == pytest.approx(MOST * HOUR, rel=0.05)
    assert float(ours["replica_hours"]) < float(fixed["replica_hours"])
    assert float(fixed["missed"]) <= float(ours["missed"]) < 0.01
    assert (fixed["changes"], fixed["utilization"]) < (1, ours["utilization"])


def test_rays_rule_waits_thirty_seconds_before_more_and_ten_minutes_before_fewer() -> None:
    world, decide = World(requests_of(1, 0.01), FIRST), ray(2.0)
    changed = {}
    for second in range(700):
        world.now = float(second)
        world.ongoing.append(20 if second < 50 else 0)
        if (wanted := decide(world)) != len(world.engines):
            changed[second] = wanted
            world.set_to(wanted)
    assert changed == {30: 10, 652: 1}
