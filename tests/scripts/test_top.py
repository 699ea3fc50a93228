"""`biplane top`: one table where there is no terminal, one object for programs, a table that renews itself on one."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from control import engine_report, traffic
from control.engine_report import EngineReport
from control.kernel.home import HOME_VARIABLE
from control.metrics.rates import DeploymentRow, Figures
from control.traffic import Traffic, bucket
from scripts.cli import top
from scripts.cli.app import BAD_INPUT, NO_PLANE, app
from scripts.cli.top import Sort, drawn, ordered
from tests.control.router.world import deployment
from tests.fakes.home import started
from tests.fakes.plane import Plane

APPS = tuple(f"llm:chat:3:ab12cd34:{replica}:ef56ab78" for replica in (0, 1))


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plane:
    """Two replicas that serve 30 requests and 300 tokens more in every three seconds that somebody waits."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    plane = started(tmp_path / "home")
    plane.apply(deployment(replicas=2))
    began, served = time.time() - 20.0, 0

    def serve() -> None:
        count, at = 30 * served, began + 3.0 * served
        one = Traffic(count, 0, {bucket(50.0): count}, {bucket(10.0): count}, {bucket(400.0): count})
        plane.store.beat(f"{traffic.BEAT_PREFIX}g1", traffic.document(dict.fromkeys(APPS, one)), now=at)
        for running, name in enumerate(APPS):
            report = EngineReport("u", running=running, kv_usage=0.5, kv_tokens=10, generated_tokens=10 * count)
            plane.store.beat(engine_report.BEAT_PREFIX + name, engine_report.document(report), now=at)

    def sleep(seconds: float) -> None:
        nonlocal served
        if served == 3:
            raise KeyboardInterrupt
        served += 1
        serve()

    serve()
    monkeypatch.setattr(top, "time", SimpleNamespace(sleep=sleep, time=time.time))
    return plane


def biplane(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["top", *words])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


@pytest.mark.usefixtures("plane")
def test_without_a_terminal_one_table_is_printed() -> None:
    lines = biplane().stdout.splitlines()
    assert lines[0].split()[:3] == ["DEPLOYMENT", "REQ/S", "ERR/S"]
    assert lines[1].split()[:4] == ["chat", "20.0", "0", "200"]
    assert lines[2].startswith("  version 3 replica 0 ")
    assert lines[2].split()[4:7] == ["10.0", "0", "100"]
    assert "0/0" in lines[2]
    assert "1/0" in lines[3]
    assert len(lines) == 4


@pytest.mark.usefixtures("plane")
def test_a_program_gets_one_object_with_rates_and_milliseconds() -> None:
    (found,) = [json.loads(line) for line in biplane("--json").stdout.splitlines()]
    (chat,) = found["deployments"]
    assert (chat["name"], chat["figures"]["requests"], chat["figures"]["tokens"]) == ("chat", 20.0, 200.0)
    assert chat["figures"]["ttft_p99"] == pytest.approx(50.0, rel=0.05)
    assert [one["app"] for one in chat["replicas"]] == list(APPS)


def test_on_a_terminal_the_table_renews_itself_until_it_is_interrupted(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(top, "out", Console(file=screen, force_terminal=True, width=200, height=50))
    biplane("--watch", "0.5")
    shown = screen.getvalue()
    assert shown.count("DEPLOYMENT") >= 3
    assert "version 3 replica 1" in shown


def test_a_deployment_that_nothing_runs_of_is_shown(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.store.forget_beats("", before=time.time() + 1)
    monkeypatch.setattr(top, "time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))
    (_, line) = biplane("--once").stdout.splitlines()
    assert line.split()[:2] == ["chat", "0"]
    assert line.split()[-2:] == ["Waiting", "0/0"]


def test_where_there_is_no_deployment_it_says_how_to_make_one() -> None:
    assert str(drawn([], 80)) == "No deployment; make one with: biplane apply -f FILE"


def test_without_a_plane_it_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    assert "start one with: biplane up" in biplane(code=NO_PLANE).stderr


@pytest.mark.parametrize("words", [("--sort", "colour"), ("--watch", "0")])
def test_what_is_no_order_or_time_is_refused(words: tuple[str, ...]) -> None:
    biplane(*words, code=BAD_INPUT)


def row(name: str, **figures: float) -> DeploymentRow:
    return DeploymentRow(name, "Ready", 1, 1, False, Figures(**figures), ())  # type: ignore[arg-type]


def test_the_highest_come_first_and_those_without_a_figure_last() -> None:
    rows = [row("c"), row("a"), row("b", itl_p99=5.0, requests=1.0), row("d", itl_p99=70.0)]
    assert [one.name for one in ordered(rows, Sort.ITL)] == ["d", "b", "a", "c"]
    assert [one.name for one in ordered(rows, Sort.NAME)] == ["a", "b", "c", "d"]
    assert [one.name for one in ordered(rows, Sort.REQUESTS)] == ["b", "a", "c", "d"]


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60])
def test_what_does_not_fit_the_terminal_is_left_out_whole(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(drawn([row("a-long-name-of-a-deployment", requests=12.3, ttft_p99=250.0)], width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert "12.3" in lines[1]
    assert ("LATENCY P99" in lines[0]) == (width >= 120)
    assert ("TTFT P99" in lines[0]) == (width > 60)
    assert "…" not in lines[1]
