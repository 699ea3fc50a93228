"""The last decisions in a file: read back they are the same, and deciding again gives the same plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from control.kernel.plan import CutDevice, Plan
from control.scheduler import recorder as recorder_module
from control.scheduler.decide import decide
from control.scheduler.decisions import from_line, plan_body, to_line
from control.scheduler.recorder import Recorder, recorded
from control.scheduler.state import AgentWanted, Broken, Queue, Snapshot
from control.specs.inventory import CutOrder, SlicePlace, SliceReport
from tests.control.scheduler.world import node, settled, snapshot, workload


def busy() -> Snapshot:
    """A snapshot with something in most of its fields."""
    held = settled(snapshot([node("n0", 4), node("n1", 2)], [workload("a", 2), workload("b", 2)]))
    more = workload("c", 3, each=40, models=frozenset({"H100"}), queue="research")
    rules = replace(held.rules, queues=(Queue("research", quota=9),), layouts={"halves": {-1: {"3g.40gb": 2}}})
    return replace(
        held,
        workloads=(*held.workloads, more),
        rules=rules,
        now=12.5,
        agents_wanted=(AgentWanted("n0", "id-n0", "m:Driver", {"path": "/d", "node": {"numa": (0, 1)}}),),
        broken=(Broken("Queue", "odd", "why"),),
    )


def test_a_snapshot_survives_the_file() -> None:
    before = busy()
    after, _ = from_line(to_line(before, Plan()))
    assert replace(after, agents_wanted=()) == replace(before, agents_wanted=())
    assert after.agents_wanted[0].args["path"] == "/d"


def test_deciding_again_gives_the_plan_that_was_recorded() -> None:
    before = busy()
    plan = decide(before)
    assert plan
    after, body = from_line(to_line(before, plan))
    assert plan_body(decide(after)) == body


def test_every_action_says_what_it_is() -> None:
    order = CutOrder("d", True, (SliceReport("1g.10gb", 0, "u"),), (SlicePlace("2g.20gb", 0),))
    body = plan_body(Plan((), (CutDevice(kind="Node", name="n", reason="r", node_id="i", order=order),)))
    (effect,) = body["effects"]
    assert (effect["do"], effect["order"]["destroy"][0]["uuid"]) == ("CutDevice", "u")


def test_something_else_is_no_decision() -> None:
    with pytest.raises(ValueError, match="no decision"):
        from_line(b'{"hello":1}')


def write(file: Path, count: int, first: int = 0) -> None:
    recorder = Recorder(file)
    for now in range(first, first + count):
        recorder.note(replace(busy(), now=float(now)), Plan())
        recorder.flush()


def times(file: Path) -> list[float]:
    return [found.now for found, _ in recorded(file)]


def test_the_last_decisions_are_kept_and_older_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "KEPT", 3)
    file = tmp_path / "logs" / "decisions.jsonl.gz"
    write(file, 8)
    assert times(file) == [3.0, 4.0, 5.0, 6.0, 7.0]


def test_a_file_that_grows_too_large_is_cut_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MOST_BYTES", 1)
    write(tmp_path / "d.gz", 3)
    assert times(tmp_path / "d.gz") == [2.0]


def test_a_later_life_goes_on_with_the_file(tmp_path: Path) -> None:
    write(tmp_path / "d.gz", 2)
    write(tmp_path / "d.gz", 1, first=2)
    assert times(tmp_path / "d.gz") == [0.0, 1.0, 2.0]


def test_what_was_being_written_in_a_crash_hides_nothing_before_it(tmp_path: Path) -> None:
    write(tmp_path / "d.gz", 2)
    whole = (tmp_path / "d.gz").read_bytes()
    (tmp_path / "d.gz").write_bytes(whole + whole[: len(whole) // 4])
    assert times(tmp_path / "d.gz") == [0.0, 1.0]


def test_where_nothing_was_recorded_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(recorded(tmp_path / "d.gz"))


def test_a_disk_that_is_full_costs_the_record_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    write(tmp_path / "file" / "below" / "d.gz", 2)
    assert "could not be recorded" in caplog.text


def test_who_decides_never_waits_for_the_disk(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "d.gz")
    for _ in range(100):
        recorder.note(busy(), Plan())
    recorder.flush()
    assert 1 <= len(times(tmp_path / "d.gz")) <= 100
