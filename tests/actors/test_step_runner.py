"""The runner of one attempt: begun first, the outcome last and whole, whatever the step does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.step_runner import StepRunner
from control.specs.step import OUTCOME_FILE, StepRequest, begun_file

ACTOR = "step:tune-1:training:2"
Main = Callable[[StepRequest], Any]


class Steps:
    """Stands for a module of steps; `main` is what a test puts there."""

    main: Main


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "training"


def run(main: Main, directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a step to its outcome."""
    steps = Steps()
    steps.main = main
    monkeypatch.setitem(sys.modules, "steps_of_a_test", steps)
    StepRunner(ACTOR, "steps_of_a_test:main", StepRequest("tune-1", "training", "train", "k", str(directory), "", ""))
    outcome = directory / OUTCOME_FILE
    for _ in range(500):
        if outcome.exists():
            found: dict[str, Any] = json.loads(outcome.read_text())
            return found
        time.sleep(0.01)
    raise AssertionError("the step left no outcome")


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
    StepRunner(ACTOR, "no.such:step", StepRequest("tune-1", "training", "train", "k", str(directory), "", ""))
    for _ in range(500):
        if (directory / OUTCOME_FILE).exists():
            break
        time.sleep(0.01)
    assert json.loads((directory / OUTCOME_FILE).read_text())["error"].startswith("ModuleNotFoundError: ")
