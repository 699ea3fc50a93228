"""How much a trace loads a cluster, and how fast its jobs have to come for it to load it so much."""

from __future__ import annotations

import pytest

from control.scheduler.report import report
from control.scheduler.simulate import simulate
from control.scheduler.state import Rules
from control.scheduler.trace import Job, Trace
from tests.control.scheduler.world import node, workload


def jobs(*asks: tuple[int, float, float]) -> Trace:
    """Devices, arrival and run of each."""
    named = enumerate(asks)
    return Trace.of("t", (Job(workload(f"j{i}", n, created_at=at), seconds) for i, (n, at, seconds) in named))


def test_the_load_counts_what_runs_until_the_last_arrival() -> None:
    assert jobs((2, 0.0, 50.0), (1, 50.0, 900.0), (1, 100.0, 5.0)).load(4) == (2 * 50 + 50) / 400


def test_the_load_with_a_factor_is_that_of_the_compressed_trace() -> None:
    trace = jobs((2, 0.0, 50.0), (1, 30.0, 10.0), (4, 70.0, 5.0), (1, 100.0, 5.0))
    for factor in (0.5, 1.0, 3.0):
        assert trace.load(8, factor) == pytest.approx(trace.compressed(factor).load(8))


def test_compressed_by_its_loading_it_loads_so_much() -> None:
    trace = jobs(*((1 + i % 4, 100.0 * i, 40.0) for i in range(50)))
    assert trace.compressed(trace.loading(4, 0.9)).load(4) == pytest.approx(0.9, rel=0.01)


@pytest.mark.parametrize("trace", [jobs(), jobs((1, 5.0, 9.0))])
def test_what_cannot_load_a_cluster_is_left_as_it_is(trace: Trace) -> None:
    assert (trace.load(4), trace.loading(4, 0.9)) == (0.0, 1.0)


def test_an_empty_trace_has_an_empty_report() -> None:
    found = report(simulate([node()], Rules({}), ()))
    assert (found.jobs, found.utilisation_pct, found.wait_bound_s, found.moments) == (0, 0.0, 0.0, ())
