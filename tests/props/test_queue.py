"""What never happens with quotas and turns, whatever tree of queues a person makes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.fair_share import Amount, Shares
from control.scheduler.queue import order
from control.scheduler.state import Queue, Workload
from tests.control.scheduler.tenants import CLASSES, asks, quotas, refusal

NAMES = ("a", "b", "c", "d", "e", "f", "g")
limits = st.one_of(st.none(), st.integers(0, 6))
briefly = settings(max_examples=40, deadline=None)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Queue, ...]:
    """Queues whose parents, if any, come before them."""
    count = draw(st.integers(1, len(NAMES)))
    return tuple(
        Queue(
            name=NAMES[n],
            parent=draw(st.sampled_from(["", *NAMES[:n]])),
            quota=draw(st.integers(0, 8)),
            borrow=draw(limits),
            lend=draw(limits),
            weight=draw(st.sampled_from([0.5, 1.0, 3.0])),
        )
        for n in range(count)
    )


demands = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 5), st.booleans()), max_size=30)


class Ledger:
    """Who was admitted, and what the tree of queues makes of it, worked out from the queues alone."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self.queues = {queue.name: queue for queue in queues}
        self.quotas = quotas(*queues)
        self.holders: list[Workload] = []

    def play(self, wanted: Sequence[tuple[str, int, bool]]) -> None:
        """Admit who may be admitted; the flag says that somebody leaves first."""
        for number, (queue, devices, leaves) in enumerate(wanted):
            if leaves and self.holders:
                gone = self.holders.pop(number % len(self.holders))
                self.quotas.remove(gone, gone.milli_devices)
            workload = asks(queue, devices, f"w{number}")
            if queue in self.queues and not refusal(self.quotas, workload):
                self.quotas.add(workload, workload.milli_devices)
                self.holders.append(workload)

    def children(self, name: str) -> list[str]:
        return [queue.name for queue in self.queues.values() if queue.parent == name]

    def nominal(self, name: str) -> int:
        return max(self.queues[name].quota, sum(map(self.nominal, self.children(name))))

    def own(self, name: str) -> int:
        return self.nominal(name) - sum(map(self.nominal, self.children(name)))

    def holds(self, name: str) -> int:
        return sum(w.devices for w in self.holders if w.queue == name)

    def holds_with_those_below(self, name: str) -> int:
        return self.holds(name) + sum(map(self.holds_with_those_below, self.children(name)))

    def root(self, name: str) -> str:
        parent = self.queues[name].parent
        return self.root(parent) if parent else name


@briefly
@given(trees(), demands)
def test_no_tree_holds_more_than_its_quotas_and_no_queue_more_than_it_may_borrow(
    queues: tuple[Queue, ...], wanted: list[tuple[str, int, bool]]
) -> None:
    ledger = Ledger(queues)
    ledger.play(wanted)
    for queue in queues:
        held, nominal = ledger.holds_with_those_below(queue.name), ledger.nominal(queue.name)
        if not queue.parent:
            assert held <= nominal
        elif queue.borrow is not None:
            assert held <= nominal + queue.borrow


@briefly
@given(trees(), demands)
def test_no_queue_lends_more_than_it_says(queues: tuple[Queue, ...], wanted: list[tuple[str, int, bool]]) -> None:
    ledger = Ledger(queues)
    ledger.play(wanted)
    for queue in queues:
        if queue.parent and queue.lend is not None:
            root, nominal = ledger.root(queue.name), ledger.nominal(queue.name)
            elsewhere = ledger.holds_with_those_below(root) - ledger.holds_with_those_below(queue.name)
            assert elsewhere <= ledger.nominal(root) - nominal + min(queue.lend, nominal)


@briefly
@given(trees(), demands, st.sampled_from(NAMES), st.integers(1, 5))
def test_what_is_a_queue_s_own_can_be_had_or_reclaimed(
    queues: tuple[Queue, ...], wanted: list[tuple[str, int, bool]], name: str, devices: int
) -> None:
    ledger = Ledger(queues)
    ledger.play(wanted)
    if name not in ledger.queues or ledger.holds(name) + devices > ledger.own(name):
        return
    claimant = asks(name, devices, "claimant")
    victims = [w for w in ledger.holders if ledger.quotas.may_reclaim(claimant, w)]
    assert victims or not refusal(ledger.quotas, claimant)
    assert all(ledger.holds(w.queue) > ledger.own(w.queue) for w in victims)


@briefly
@given(trees(), demands)
def test_when_everybody_has_left_all_is_as_it_was(
    queues: tuple[Queue, ...], wanted: list[tuple[str, int, bool]]
) -> None:
    ledger, fresh = Ledger(queues), quotas(*queues)
    ledger.play(wanted)
    for holder in reversed(ledger.holders):
        ledger.quotas.remove(holder, holder.milli_devices)
    for queue in queues:
        for devices in (1, 3, 9):
            assert refusal(ledger.quotas, asks(queue.name, devices)) == refusal(fresh, asks(queue.name, devices))
        assert ledger.quotas.dominant_share(queue.name) == 0.0


waiting = st.lists(
    st.tuples(st.sampled_from(["", *NAMES]), st.integers(0, 4), st.sampled_from(["high", "low"]), st.integers(0, 3)),
    max_size=25,
)


def turns(wanted: list[tuple[str, int, str, int]]) -> list[Workload]:
    return [
        asks(queue, devices, f"w{number}", cpu=1, priority=priority, at=float(at))
        for number, (queue, devices, priority, at) in enumerate(wanted)
    ]


@briefly
@given(trees(), waiting, st.randoms(use_true_random=False))
def test_the_order_is_of_everyone_once_by_class_and_does_not_depend_on_how_they_came(
    queues: tuple[Queue, ...], wanted: list[tuple[str, int, str, int]], chance: Random
) -> None:
    pending = turns(wanted)
    found = list(order(pending, quotas(*queues, cpu=50), CLASSES, 0.0))
    assert sorted(w.name for w in found) == sorted(w.name for w in pending)
    values = [CLASSES[w.priority_class] for w in found]
    assert values == sorted(values, reverse=True)
    shuffled = list(pending)
    chance.shuffle(shuffled)
    assert list(order(shuffled, quotas(*queues, cpu=50), CLASSES, 0.0)) == found


@briefly
@given(trees(), waiting)
def test_within_a_queue_and_a_class_nobody_is_overtaken(
    queues: tuple[Queue, ...], wanted: list[tuple[str, int, str, int]]
) -> None:
    found = list(order(turns(wanted), quotas(*queues, cpu=50), CLASSES, 0.0))
    for queue in ("", *NAMES):
        for priority in CLASSES:
            here = [(w.created_at, w.name) for w in found if (w.queue, w.priority_class) == (queue, priority)]
            assert here == sorted(here)


@briefly
@given(st.integers(2, 6), st.integers(1, 6), st.integers(1, 4), st.lists(st.integers(0, 9), min_size=6, max_size=6))
def test_with_equal_weights_and_demands_no_tenant_is_ahead_by_more_than_one_workload(
    tenants: int, each: int, devices: int, ages: list[int]
) -> None:
    queues = [Queue(NAMES[n], quota=1) for n in range(tenants)]
    pending = [
        asks(queue.name, devices, f"{queue.name}{n}", at=float(age))
        for queue, age in zip(queues, ages, strict=False)
        for n in range(each)
    ]
    served = dict.fromkeys((queue.name for queue in queues), 0)
    for workload in order(pending, quotas(*queues), CLASSES, 0.0):
        served[workload.queue] += 1
        assert max(served.values()) - min(served.values()) <= 1


def test_ten_thousand_who_wait_are_ordered_without_comparing_all_with_all() -> None:
    """Each account is asked for its share about once for every workload below it, not once for every other one."""
    queues = [Queue(f"t{n}", "org", quota=1) for n in range(100)] + [Queue("org")]
    found = quotas(*queues)
    asked = 0

    class Counting(Shares):
        def dominant(self, name: str) -> float:
            nonlocal asked
            asked += 1
            return super().dominant(name)

        def copy(self) -> Shares:
            return self

    found.shares = Counting(Amount(devices=20_000_000), {})
    pending = [asks(f"t{n % 100}", 1, f"w{n:05}") for n in range(10_000)]
    assert [w.queue for w in islice(order(pending, found, CLASSES, 0.0), 100)] == [f"t{n}" for n in range(100)]
    assert asked < 3 * len(pending)
