"""The runner of one attempt: begun first, the outcome last and whole, whatever the step does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import step_runner
from actors.claims import DeviceInUse, claims_in, hold
from actors.step_runner import StepRunner
from control.specs.step import OUTCOME_FILE, DeviceGrant, GrantPiece, StepRequest, begun_file

ACTOR = "step:tune-1:training:2"
Main = Callable[[StepRequest], Any]


class Steps:
    """Stands for a module of steps; `main` is what a test puts there."""

    main: Main


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "training"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner says in its process's environment which devices it may see."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")


def request_in(directory: Path, *devices: str) -> StepRequest:
    return StepRequest(
        run="tune-1",
        task="training",
        template="train",
        key="k",
        directory=str(directory),
        mlflow_uri="",
        experiment="",
        grant=DeviceGrant((GrantPiece("GPU", "n0", devices),)) if devices else None,
        workload="step.tune-1.l.training",
        claims=str(directory.parents[1] / "claims"),
    )


def run_out(main: Main, request: StepRequest, monkeypatch: pytest.MonkeyPatch, *, gang: bool = False) -> None:
    """Run a step until its thread has ended."""
    steps = Steps()
    steps.main = main
    monkeypatch.setitem(sys.modules, "steps_of_a_test", steps)
    before = set(threading.enumerate())
    StepRunner(ACTOR, "steps_of_a_test:main", request, gang)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


def run(main: Main, directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a step to its outcome."""
    run_out(main, request_in(directory), monkeypatch)
    found: dict[str, Any] = json.loads((directory / OUTCOME_FILE).read_text())
    return found


def test_a_step_that_ends_well_leaves_its_outputs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(lambda request: {"task": request.task}, directory, monkeypatch)
    assert outcome == {"ok": True, "outputs": {"task": "training"}, "actor": ACTOR}


def test_the_mark_that_it_began_is_there_before_the_step_and_the_outcome_only_after(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def look(request: StepRequest) -> dict[str, str]:
        seen.append(sorted(path.name for path in directory.iterdir()))
        return {}

    run(look, directory, monkeypatch)
    assert seen == [[begun_file(ACTOR)]]
    assert sorted(path.name for path in directory.iterdir()) == [begun_file(ACTOR), OUTCOME_FILE]


def test_the_outcome_comes_in_one_rename(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = []
    replace = Path.replace

    def look_then_replace(source: Path, target: Path) -> Path:
        renamed.append((target.name, target.exists(), json.loads(source.read_text())["ok"]))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", look_then_replace)
    run(lambda request: {}, directory, monkeypatch)
    assert renamed == [(OUTCOME_FILE, False, True)]


def exits(request: StepRequest) -> None:
    raise SystemExit(3)


def raises(request: StepRequest) -> None:
    raise ValueError("no rows")


@pytest.mark.parametrize(
    ("main", "error"),
    [
        (raises, "ValueError: no rows"),
        (exits, "SystemExit: 3"),
        (lambda request: None, "TypeError: steps_of_a_test:main returned None; expected a dict of text to text"),
        (
            lambda request: {"loss": 0.5},
            "TypeError: steps_of_a_test:main returned {'loss': 0.5}; expected a dict of text to text",
        ),
    ],
    ids=["raises", "exits", "returns nothing", "returns a number"],
)
def test_a_step_that_does_not_end_well_leaves_the_type_and_the_message(
    main: Main, error: str, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, directory, monkeypatch) == {"ok": False, "error": error, "actor": ACTOR}
    assert "Traceback" in capsys.readouterr().err


def test_a_step_that_is_not_there_is_a_failure_and_not_silence(directory: Path) -> None:
    StepRunner(ACTOR, "no.such:step", request_in(directory), gang=False)
    for _ in range(500):
        if (directory / OUTCOME_FILE).exists():
            break
        time.sleep(0.01)
    assert json.loads((directory / OUTCOME_FILE).read_text())["error"].startswith("ModuleNotFoundError: ")


def test_it_holds_the_devices_of_its_grant_and_shows_the_step_no_others(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_in(directory, "GPU-a", "GPU-b")
    seen: list[str] = []
    run_out(lambda request: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]), request, monkeypatch)
    assert seen == ["GPU-a,GPU-b"]
    found = claims_in(Path(request.claims))
    assert [(one.device, one.holder) for one in found] == [("GPU-a", request.workload), ("GPU-b", request.workload)]


@pytest.mark.parametrize(("devices", "gang"), [((), False), (("GPU-a",), True)], ids=["no devices", "gang"])
def test_a_step_that_computes_on_no_device_sees_none_and_holds_none(
    devices: tuple[str, ...], gang: bool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_in(directory, *devices)
    seen: list[str] = []
    run_out(lambda request: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]), request, monkeypatch, gang=gang)
    assert seen == [""]
    assert claims_in(Path(request.claims)) == ()


def test_an_attempt_whose_device_somebody_else_holds_never_begins(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_runner, "CLAIM_SECONDS", 0.0)
    request = request_in(directory, "GPU-a")
    with (
        hold(Path(request.claims), ["GPU-a"], "step.other"),
        pytest.raises(DeviceInUse, match=r"GPU-a is held by step\.other"),
    ):
        StepRunner(ACTOR, "no.such:step", request, gang=False)
    assert list(directory.iterdir()) == []


STOPS = """
import sys, time
from actors.step_runner import StepRunner
from control.specs.step import Evicted, StepRequest

def main(request):
    raise Evicted("saved at step 7")

sys.modules["steps"] = sys.modules["__main__"]
directory, claims = sys.argv[1:]
StepRunner("step:tune-1:training:2", "steps:main", StepRequest("", "", "", "", directory, "", "", claims=claims), False)
time.sleep(60)
"""


def test_a_step_that_stops_because_it_was_told_to_ends_its_process_and_leaves_no_outcome(directory: Path) -> None:
    command = [sys.executable, "-c", STOPS, str(directory), str(directory.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ACTOR}: saved at step 7\n", "")
    assert [path.name for path in directory.iterdir()] == [begun_file(ACTOR)]
