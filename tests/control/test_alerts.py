"""Which objectives are missed, and that little traffic or an uncertain figure raises no alarm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control.alerts import Alert, Watched, alerts
from control.specs.sla import Sla
from control.traffic import Traffic, bucket

FAST, SLOW = bucket(50), bucket(400)


def recent(requests: int = 1000, slow: int = 0) -> Traffic:
    """`slow` of the values of each kind at 400 ms, all others at 50 ms."""
    histogram = {FAST: requests - slow, SLOW: slow}
    return Traffic(requests, 0, histogram, histogram, histogram)


CHAT = Watched("chat", Sla(ttft_ms=200, itl_ms=100, latency_p99_ms=200), recent())


def found(*watched: Watched) -> dict[str, Alert]:
    return {alert.objective: alert for alert in alerts(watched, 7.0)}


def test_nothing_is_told_while_the_objectives_are_met() -> None:
    assert found(CHAT, replace(CHAT, utilization=0.85), replace(CHAT, recent=recent(slow=10))) == {}


def test_what_is_missed_is_told_with_its_figures() -> None:
    missed = found(replace(CHAT, recent=recent(slow=60)))
    assert set(missed) == {"ttft_ms", "itl_ms", "latency_p99_ms"}
    alert = missed["itl_ms"]
    assert (alert.deployment, alert.wanted, alert.since) == ("chat", 100, 7.0)
    assert alert.found == pytest.approx(400, rel=0.05)
    assert alert.message == f"the p99 of the time between tokens of chat is {alert.found:.0f} ms; at most 100 ms wanted"


def test_of_the_first_tokens_a_twentieth_may_be_late_and_of_all_else_a_hundredth() -> None:
    assert set(found(replace(CHAT, recent=recent(slow=50)))) == {"itl_ms", "latency_p99_ms"}


def test_an_objective_that_is_null_is_none() -> None:
    everything_late = recent(slow=1000)
    assert found(Watched("chat", Sla(itl_ms=None, utilization=None), everything_late, utilization=0.1)) == {}


@pytest.mark.parametrize("requests", [0, 1, 3, 9])
def test_of_a_few_requests_nothing_is_told(requests: int) -> None:
    assert found(replace(CHAT, recent=recent(requests, requests), utilization=0.1)) == {}


def test_four_late_answers_are_no_alarm_and_five_are() -> None:
    assert not found(replace(CHAT, recent=recent(20, 4)))
    assert "ttft_ms" in found(replace(CHAT, recent=recent(20, 5)))


def test_a_value_that_may_lie_below_the_objective_counts_as_below() -> None:
    all_at = recent(slow=1000)
    edge = Sla(ttft_ms=1.1 ** (SLOW + 0.3))
    assert "ttft_ms" not in found(Watched("chat", edge, all_at))
    assert "ttft_ms" in found(Watched("chat", Sla(ttft_ms=1.1 ** (SLOW - 0.1)), all_at))


def test_idle_devices_are_told_unless_nobody_knows_or_there_cannot_be_fewer() -> None:
    idle = replace(CHAT, utilization=0.31)
    told = found(idle)["utilization"]
    assert (told.found, told.wanted) == (0.31, 0.8)
    assert told.message == "the devices of chat are 31 % busy; at least 80 % wanted: fewer replicas would do"
    assert found(replace(idle, utilization=None)) == found(replace(idle, fewest=True)) == {}


def test_an_alert_remembers_since_when_until_it_is_over() -> None:
    late = [replace(CHAT, recent=recent(slow=1000)), Watched("other", CHAT.sla, recent(slow=1000))]
    first = alerts(late[:1], 1.0)
    second = alerts(late, 2.0, first)
    assert [(a.deployment, a.since) for a in second] == [("chat", 1.0)] * 3 + [("other", 2.0)] * 3
    assert alerts([replace(CHAT, recent=recent())], 3.0, second) == ()
    assert {a.since for a in alerts(late, 4.0, ())} == {4.0}
