"""`biplane gateway usage` and `budgets`: what the ledger wrote down, for people and for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from control.accounts import Ask, Counts, Report, Settled, Usage, Window
from control.gateway.ledger.ledger import Ledger
from control.gateway.ledger.records import Records
from control.kernel.home import HOME_VARIABLE, Home
from control.keys import ensure_api_key
from scripts.cli.app import BAD_INPUT, NO_PLANE, NOT_FOUND, app
from tests.control.specs.samples import GATEWAY
from tests.fakes.home import started

ROUTE = "front/chat/openai/gpt-4o/cost"
DOLLAR = 10**9


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return Home(tmp_path / "home")


@pytest.fixture
def used(home: Home) -> None:
    """A gateway with a budget of 100 dollars, of which a replica was lent 10 and spent 4; and its usage."""
    plane = started(home.path)
    ensure_api_key(home, plane.store, now=1.0)
    plane.apply(GATEWAY.replace("weight: 70", "weight: 70\n          cost_budget_daily: 100.0"))
    records = Records(home.store_url)
    ledger = Ledger(records)
    ledger.report(Report("g1", 1, asks=(Ask(ROUTE, Window.DAY, 100 * DOLLAR, 10 * DOLLAR, DOLLAR, 0),)))
    who = Usage(day(), "admin", "default", "chat", "openai/gpt-4o")
    ledger.report(
        Report(
            "g1",
            2,
            settled=(Settled(ROUTE, Window.DAY, Window.DAY.slot(time.time()), 4 * DOLLAR, 0),),
            usage=(
                (who, Counts(requests=3, errors=1, prompt=1200, cached=200, completion=90, cost=4 * DOLLAR)),
                (who._replace(key="old", day="2020-01-01"), Counts(requests=7)),
                (who._replace(key="bob", backend="llama", route=""), Counts(requests=2, hits=1, saved=DOLLAR // 2)),
            ),
        )
    )
    records.close()


def day() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def gateway(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["gateway", *words])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


def one(*words: str) -> dict[str, Any]:
    (line,) = gateway(*words, "--json").stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.usefixtures("used")
def test_usage_is_summed_up_by_what_is_asked_for_over_the_days_that_are_asked_for() -> None:
    found = one("usage")
    assert [(row["key"], row["requests"], row["cost"]) for row in found["usage"]] == [
        ("admin", 3, 4.0),
        ("bob", 2, 0.0),
    ]
    assert found["total"]["requests"] == 5
    assert found["total"]["saved"] == 0.5
    assert [row["model"] for row in one("usage", "--by", "model")["usage"]] == ["gpt-4o", "llama"]
    assert one("usage", "--since", "10000d", "--by", "day")["usage"][0]["day"] == "2020-01-01"


@pytest.mark.usefixtures("used")
def test_usage_is_shown_to_people_with_dollars_and_a_line_for_all() -> None:
    lines = gateway("usage", "--by", "backend").stdout.splitlines()
    assert lines[0].split() == [
        "BACKEND",
        "REQUESTS",
        "ERRORS",
        "HITS",
        "PROMPT",
        "CACHED",
        "COMPLETION",
        "COST",
        "SAVED",
    ]
    assert lines[1].split() == ["openai/gpt-4o", "3", "1", "0", "1200", "200", "90", "$4.00", "$0.00"]
    assert lines[-1].split() == ["all", "5", "1", "1", "1200", "200", "90", "$4.00", "$0.50"]


@pytest.mark.usefixtures("used")
def test_a_budget_is_told_with_what_is_spent_reserved_and_left() -> None:
    (found,) = one("budgets")["budgets"]
    assert found == {
        "whose": "openai/gpt-4o on route chat",
        "gateway": "front",
        "what": "cost",
        "per": "day",
        "capacity": 100.0,
        "spent": 4.0,
        "reserved": 6.0,
        "left": 90.0,
        "full_at": Window.DAY.ends(Window.DAY.slot(time.time())),
    }
    shown = gateway("budgets").stdout
    assert "cost/day" in shown
    assert "$100.00" in shown
    assert "$90.00" in shown
    assert "00:00 UTC" in shown


@pytest.mark.usefixtures("used")
def test_a_gateway_document_and_a_key_are_explained_with_what_is_left() -> None:
    said = CliRunner().invoke(app, ["explain", "gateway/front"]).stdout
    assert "route chat" in said
    assert "$90.00 left of $100.00 by front: $4.00 spent, $6.00 reserved" in said
    said = CliRunner().invoke(app, ["explain", "apikey/admin"]).stdout
    assert "standing valid: it does not expire" in said
    assert CliRunner().invoke(app, ["explain", "apikey/bob"]).exit_code == NOT_FOUND


def test_where_nothing_was_used_that_is_said(home: Home) -> None:
    started(home.path)
    assert "Nothing was used" in gateway("usage").stdout
    assert one("usage")["usage"] == []
    assert "No limit or budget" in gateway("budgets").stdout


@pytest.mark.parametrize("words", [("usage",), ("budgets",)])
def test_without_a_plane_it_is_said_how_to_start_one(words: tuple[str, ...], home: Home) -> None:
    assert "start one with: biplane up" in gateway(*words, code=NO_PLANE).stderr
    assert not home.path.exists()


@pytest.mark.parametrize("words", [("usage", "--by", "colour"), ("usage", "--since", "soon")])
def test_what_is_wrong_is_said(words: tuple[str, ...]) -> None:
    assert words[-1] in gateway(*words, code=BAD_INPUT).stderr
