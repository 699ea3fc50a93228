"""Where the command line shows the store, and what it says of one that is no good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from control.kernel.home import HOME_VARIABLE, Home, write_atomically
from scripts.cli.app import FAILED, app
from tests.fakes.home import SETTINGS, started


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return Home(tmp_path)


def test_status_names_the_store(home: Home) -> None:
    started(home.path)
    assert home.store_url in CliRunner().invoke(app, ["status"]).stdout
    assert json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)["store"] == home.store_url


def test_a_store_that_is_away_is_one_sentence_without_its_password(home: Home) -> None:
    SETTINGS.write(home)
    write_atomically(home.store_file, "postgresql://me:s3cret@127.0.0.1:1/d\n", mode=0o600)
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == FAILED
    assert "the store postgresql://me:***@127.0.0.1:1/d cannot be used now: " in result.stderr
    assert "s3cret" not in result.output
