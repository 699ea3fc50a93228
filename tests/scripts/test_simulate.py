"""`biplane simulate`, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from control.scheduler.decide import decide
from control.scheduler.decisions import to_line
from control.scheduler.recorder import recorded
from scripts.cli.app import app
from tests.control.scheduler.world import node, snapshot, workload
from tests.e2e.plane import ROOT

TRACE, CLUSTER = ROOT / "examples" / "trace.csv", ROOT / "examples" / "cluster.gpus.yaml"
AGAIN = ("simulate", "--trace", str(TRACE), "--cluster", str(CLUSTER))


def said(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done.output


def test_the_example_trace_runs_to_its_end_and_is_the_same_every_time() -> None:
    first, second = (json.loads(said(*AGAIN, "--json").splitlines()[-1]) for _ in range(2))
    assert (first["jobs"], first["finished"], first["policy"]) == (60, 60, "biplane")
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in second.items() if k != "seconds"}


def test_compressing_the_arrivals_makes_jobs_wait_longer() -> None:
    easy, hard = (json.loads(said(*AGAIN, "--json", "--compress", x).splitlines()[-1]) for x in ("1", "4"))
    assert hard["wait_mean_s"] > easy["wait_mean_s"]


def test_other_policies_can_be_compared() -> None:
    ours = json.loads(said(*AGAIN, "--json", "--compress", "4").splitlines()[-1])
    fifo = json.loads(said(*AGAIN, "--json", "--compress", "4", "--policy", "fifo").splitlines()[-1])
    assert ours["jct_mean_s"] < fifo["jct_mean_s"]


def test_the_report_is_readable_and_the_picture_is_a_picture(tmp_path: Path) -> None:
    told = said(*AGAIN, "--plot", str(tmp_path / "course.png"))
    assert "60 of 60" in told
    assert (tmp_path / "course.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_missing_or_wrong_in_the_files_is_said_with_its_line(tmp_path: Path) -> None:
    said("simulate", code=1)
    bad = tmp_path / "bad.csv"
    bad.write_text("name,type,devices,arrival,seconds\na,training,1.5,0s,10s\n")
    told = CliRunner().invoke(app, ["simulate", "--trace", str(bad), "--cluster", str(CLUSTER)])
    assert told.exit_code == 2
    assert f"{bad}:2" in told.output


@pytest.mark.parametrize("changed", [False, True])
def test_a_replay_tells_whether_the_recorded_decisions_would_be_the_same_now(tmp_path: Path, changed: bool) -> None:
    import gzip

    seen = snapshot([node()], [workload("w", 2)])
    line = to_line(seen, decide(snapshot([node()], [workload("w", 3)])) if changed else decide(seen))
    file = tmp_path / "decisions.jsonl.gz"
    file.write_bytes(gzip.compress(line + b"\n"))
    assert len(list(recorded(file))) == 1
    assert f"{int(changed)} of them different" in said("simulate", "--replay", str(file), code=int(changed))
