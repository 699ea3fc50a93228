"""`biplane gateway top`: rates by route and backend, and how the backends are, for people and for programs."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from control import traffic
from control.kernel.home import HOME_VARIABLE
from control.route_traffic import Counts, Pair, Share, Standing, document
from control.traffic import Traffic, bucket
from scripts.cli import top
from scripts.cli.app import NO_PLANE, app
from tests.fakes.home import started
from tests.fakes.plane import Plane

PAIR = Pair("chat", "openai/gpt-4o")
SICK = Standing("chat", "anthropic/claude", "open", "5 failures in a row [503]")


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plane:
    """Two replicas with 30 requests each, 3 of them errors, in every three seconds that somebody waits; one of them
    finds a backend sick.
    """
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    plane = started(tmp_path / "home")
    began, served = time.time() - 20.0, 0

    def serve() -> None:
        count = 30 * served
        counts = Counts(ok=count, prompt=10 * count, completion=2 * count, cost=count * 10**8)
        times = Traffic(count, 3 * served, {bucket(50.0): count}, {}, {bucket(400.0): count})
        for replica, stand in (("g1", SICK), ("g2", SICK._replace(state="healthy", why=""))):
            routes = document(
                {Share(*PAIR, "lab"): counts, Share("chat", "", "lab"): Counts(rate_limited=served)},
                {PAIR: times, Pair("chat", ""): Traffic(3 * served)},
                (Standing(*PAIR, "healthy", ""), stand),
                {},
            )
            body = {**traffic.document({}), **routes}
            plane.store.beat(f"{traffic.BEAT_PREFIX}{replica}", body, now=began + 3.0 * served)

    def sleep(seconds: float) -> None:
        nonlocal served
        if served == 3:
            raise KeyboardInterrupt
        served += 1
        serve()

    serve()
    monkeypatch.setattr(top, "time", SimpleNamespace(sleep=sleep, time=time.time))
    return plane


def gateway_top(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["gateway", "top", *words])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


@pytest.mark.usefixtures("plane")
def test_a_program_gets_rates_of_all_replicas_together() -> None:
    (line,) = gateway_top("--json").stdout.splitlines()
    (chat,) = json.loads(line)["routes"]
    assert (chat["route"], chat["figures"]["requests"]) == ("chat", 22.0), "also those that no backend was asked for"
    claude, gpt = chat["backends"]
    assert (gpt["backend"], gpt["state"], gpt["why"]) == ("openai/gpt-4o", "healthy", "")
    figures = gpt["figures"]
    assert (figures["requests"], figures["errors"], figures["tokens"]) == (20.0, 2.0, 240.0)
    assert figures["dollars"] == pytest.approx(7200.0)
    assert figures["p99"] == pytest.approx(400.0, rel=0.05)
    assert figures["first_p50"] == pytest.approx(50.0, rel=0.05)
    assert (claude["state"], claude["why"]) == ("open", "5 failures in a row [503]"), "the worst that a replica says"
    assert claude["figures"]["requests"] == 0


@pytest.mark.usefixtures("plane")
def test_without_a_terminal_one_table_is_printed() -> None:
    lines = gateway_top().stdout.splitlines()
    assert " ".join(lines[0].split()).startswith("ROUTE REQ/S ERR/S TOK/S $/H FIRST P50 FIRST P99 P50 P99")
    assert lines[1].split()[:3] == ["chat", "22.0", "2.0"]
    assert "open: 5 failures in a row [503]" in lines[2]
    assert lines[3].split()[:5] == ["openai/gpt-4o", "20.0", "2.0", "240", "7200.00"]


def test_on_a_terminal_the_table_renews_itself_until_it_is_interrupted(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(top, "out", Console(file=screen, force_terminal=True, width=200, height=50))
    gateway_top("--watch", "0.5")
    assert screen.getvalue().count("ROUTE") >= 3


def test_where_there_is_no_route_it_says_how_to_make_one(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.store.forget_beats("", before=time.time() + 1)
    monkeypatch.setattr(top, "time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))
    assert "No route; make one with" in gateway_top("--once").stdout


def test_without_a_plane_it_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    assert "start one with: biplane up" in gateway_top(code=NO_PLANE).stderr
