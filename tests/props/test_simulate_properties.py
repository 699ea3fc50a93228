"""What never happens in a simulated history, whatever jobs come to whatever cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.decide import DEFAULT_PRIORITIES
from control.scheduler.report import report
from control.scheduler.simulate import Simulation, simulate
from control.scheduler.state import WHOLE, Node, Rules, Sharing, Span
from control.scheduler.trace import Job, Outage
from control.scheduler.trajectory import Costs, End, Trajectory
from tests.control.scheduler.world import node, workload

COSTS = Costs(checkpoint_every=10.0, restart=3.0)
clusters = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(
    lambda sizes: tuple(node(f"n{index}", devices) for index, devices in enumerate(sizes))
)
asks = st.tuples(
    st.integers(1, 6),
    st.sampled_from([0.0, 0.0, 5.0, 20.0, 21.0]),
    st.floats(1.0, 60.0),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.sampled_from(sorted(DEFAULT_PRIORITIES)),
    st.sampled_from(["", "a", "b"]),
    st.booleans(),
)
rules = st.builds(
    Rules,
    st.just(DEFAULT_PRIORITIES),
    preemption=st.booleans(),
    backfill=st.booleans(),
    patience=st.sampled_from([15.0, 200.0]),
    max_evictions=st.integers(0, 3),
    sharing=st.just(Sharing()),
)
outages = st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(1.0, 60.0)), max_size=2).map(
    lambda times: tuple(Outage("n0", at, at + lasts) for at, lasts in times)
)
briefly = settings(max_examples=25, deadline=None)


def job(index: int, ask: tuple[int, float, float, float, str, str, bool]) -> Job:
    """Says truly, wrongly or not at all how long it runs; training that checkpoints may be elastic and span nodes."""
    devices, at, seconds, truth, priority, queue, elastic = ask
    training = priority == "training"
    asked = workload(
        f"j{index:02}",
        devices,
        priority=priority,
        created_at=at,
        queue=queue,
        duration=seconds * truth,
        grace=2.0,
        checkpoints=training,
        least=1 if elastic and training else 0,
        span=Span.CLUSTER if training else Span.NODE,
    )
    return Job(asked, seconds, queue)


traces = st.lists(asks, max_size=10).map(lambda found: tuple(job(index, ask) for index, ask in enumerate(found)))


def held_at_once(found: Trajectory) -> int:
    """The most that was held of any one device at any moment, in thousandths."""
    changes: list[tuple[float, int, str]] = []
    for history in found.histories:
        for stint in history.stints:
            for piece in stint.lease.pieces:
                for uuid in piece.devices:
                    changes += [(stint.lease.since, piece.milli, uuid), (stint.until, -piece.milli, uuid)]
    held: Counter[str] = Counter()
    most = 0
    for _, milli, uuid in sorted(changes):
        held[uuid] += milli
        most = max(most, held[uuid])
    return most


@briefly
@given(clusters, rules, traces, outages)
def test_no_device_is_over_committed_and_every_job_ends_or_waits_with_a_reason(
    nodes: Sequence[Node], rules: Rules, jobs: Sequence[Job], outages: Sequence[Outage]
) -> None:
    found = simulate(nodes, rules, jobs, outages, COSTS)
    assert held_at_once(found) <= WHOLE
    assert [history.job.workload.name for history in found.histories] == [job.workload.name for job in jobs]
    for history in found.histories:
        ends = [stint.end for stint in history.stints]
        assert ends.count(End.FINISHED) == (history.finished_at is not None)
        assert history.finished_at is not None or history.reason
        assert history.finished_at is not None or history.waits, "it neither ended nor waits"


@briefly
@given(clusters, rules, traces)
def test_the_ledger_of_free_devices_and_the_histories_agree_at_every_moment(
    nodes: Sequence[Node], rules: Rules, jobs: Sequence[Job]
) -> None:
    simulation = Simulation(nodes, rules, jobs, costs=COSTS)
    while simulation.step():
        held = sum(holder.milli_devices for holder in simulation.session.holders.values())
        assert int(simulation.session.stock.board.left.sum()) == WHOLE * sum(len(n.devices) for n in nodes) - held
        assert simulation.trajectory().samples[-1].held == held
        assert not simulation.pending.keys() & simulation.session.holders.keys()


@briefly
@given(clusters, rules, traces)
def test_without_outages_nobody_waits_longer_than_the_bound_says(
    nodes: Sequence[Node], rules: Rules, jobs: Sequence[Job]
) -> None:
    """Those that no cluster of this size could hold are left out: for them there is no bound."""
    largest, together = max(len(n.devices) for n in nodes), sum(len(n.devices) for n in nodes)
    room = {Span.NODE: largest, Span.CLUSTER: together}
    possible = [one for one in jobs if one.workload.devices <= room[one.workload.span]]
    found = simulate(nodes, rules, possible, costs=COSTS)
    assert all(history.finished_at is not None for history in found.histories)
    assert report(found).over_bound == ()


@briefly
@given(clusters, rules, traces, outages)
def test_the_same_trace_has_the_same_history_in_whatever_order_its_jobs_are_told(
    nodes: Sequence[Node], rules: Rules, jobs: Sequence[Job], outages: Sequence[Outage]
) -> None:
    first = simulate(nodes, rules, jobs, outages, COSTS)
    assert simulate(nodes, rules, jobs, outages, COSTS) == first
    assert simulate(nodes[::-1], rules, jobs[::-1], outages, COSTS).histories == first.histories


@briefly
@given(clusters, rules, traces, outages)
def test_whoever_ends_has_done_all_of_its_work_and_no_more(
    nodes: Sequence[Node], rules: Rules, jobs: Sequence[Job], outages: Sequence[Outage]
) -> None:
    """What counts of each stint, at the speed of the devices it had, comes to the seconds that the job runs."""
    for history in simulate(nodes, rules, jobs, outages, COSTS).histories:
        asked = history.job.workload
        done = 0.0
        for stint in history.stints:
            speed = stint.lease.devices / asked.devices if asked.least else 1.0
            counts = asked.checkpoints or stint.end is End.FINISHED
            done += (stint.kept_until - stint.kept_from) * speed if counts else 0.0
            assert stint.lease.since <= stint.kept_from <= stint.kept_until or stint.kept_until == stint.kept_from
        if history.finished_at is not None:
            assert done == pytest.approx(history.job.seconds)
        else:
            assert done < history.job.seconds
