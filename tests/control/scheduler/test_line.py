"""Who of a queue has to be asked."""

from __future__ import annotations

from dataclasses import replace

from control.scheduler.line import Line
from control.scheduler.state import Piece, Workload
from tests.control.scheduler.world import leased, node, settled, snapshot, workload


def everyone(asked: Workload) -> bool:
    return True


def test_who_is_like_one_that_was_refused_is_not_asked() -> None:
    first, second, other = workload("a", 2), workload("b", 2, created_at=9.0), workload("c", 1)
    line = Line([first, second, other], everyone)
    line.leave(first)
    line.refuse(line.alike(first), "no room")
    assert line, "another shape is left"
    line.leave(other)
    assert not line
    assert list(line.waiting) == ["b"]
    assert line.refused[line.alike(second)] == "no room"


def test_for_whom_others_were_stopped_is_asked_in_any_case() -> None:
    first = workload("a", 2)
    promised = replace(workload("b", 2), nominated=(Piece("n0", "n0", "sim-gpu", ("SIM-n0-0",)),))
    line = Line([first, promised], everyone)
    line.leave(first)
    line.refuse(line.alike(first), "no room")
    assert line
    line.leave(promised)
    assert not line


def test_once_there_is_a_head_those_who_may_pass_it_are_told_apart_from_the_others() -> None:
    short, long = workload("a", 2, duration=5.0), workload("b", 2, duration=500.0)
    limit = [1000.0]
    line = Line([short, long, workload("c", 2, duration=7.0)], lambda asked: asked.duration < limit[0])
    line.leave(short)
    line.refuse(line.alike(short), "no room")
    assert not line
    limit[0] = 10.0
    line.recount()
    assert line, "who is long has not been asked behind a head"


def test_everyone_in_a_long_queue_gets_an_answer_although_few_are_asked() -> None:
    held = leased(workload("held", 4), nodes=[node()])
    waiting = [workload(f"w{i:03}", 1 + i % 2, created_at=float(i)) for i in range(100)]
    found = settled(snapshot([node()], [*held, *waiting]))
    reasons = {w.name: w.reason for w in found.workloads if w.lease is None}
    assert len(reasons) == 100
    assert set(reasons.values()) == {f"n0 has 0 of its 4 H100 free, {n} are asked for" for n in (1, 2)}
