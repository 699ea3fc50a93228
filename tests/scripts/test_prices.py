"""`biplane gateway prices`: what the models cost that gateway documents route to, and the whole list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from control.gateway.price_list import listed
from control.kernel.home import HOME_VARIABLE
from scripts.cli import gateway_commands
from scripts.cli.app import NO_PLANE
from tests.control.specs.samples import GATEWAY, broken
from tests.fakes.home import started

UNKNOWN = "  rate_limits:\n", "        - {provider: anthropic, model: claude-unheard-of}\n  rate_limits:\n"
PRICED = "  rate_limits:\n", "  prices: [{provider: openai, model: gpt-4o, input: 1.5, output: 6}]\n  rate_limits:\n"
ROUTED = broken(broken(GATEWAY, *UNKNOWN), *PRICED)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


def prices(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(gateway_commands.gateway, ["prices", *words])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


def rows(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(prices(*words, "--json").stdout)["prices"]
    return found


def test_the_models_of_stored_documents_have_their_prices_and_who_says_so(home: Path) -> None:
    started(home).apply(ROUTED)
    known = {"gateway": "front", "cached_input": 1.5, "cache_write": 1.5}
    free = dict.fromkeys(("input", "cached_input", "cache_write", "output"), 0.0)
    unknown = dict.fromkeys(("input", "cached_input", "cache_write", "output", "source"))
    assert rows() == [
        {**known, "provider": "openai", "model": "gpt-4o", "input": 1.5, "output": 6.0, "source": "document"},
        {**free, "gateway": "front", "provider": "local-vllm", "model": "llama", "source": "local: 0"},
        {**unknown, "gateway": "front", "provider": "anthropic", "model": "claude-unheard-of"},
    ]
    shown = [" ".join(line.split()) for line in prices().stdout.splitlines()]
    assert "front openai gpt-4o $1.50 $1.50 $1.50 $6.00 document" in shown
    assert "front anthropic claude-unheard-of - - - - unknown" in shown


def test_all_has_the_whole_list_after_the_documents_models(home: Path) -> None:
    started(home).apply(GATEWAY)
    found = rows("--all")
    assert [(row["gateway"], row["model"]) for row in found[:2]] == [("front", "gpt-4o"), ("front", "llama")]
    assert [(row["provider"], row["model"]) for row in found[2:]] == list(listed())
    assert {row["source"] for row in found[2:]} == {"price list"}


def test_the_list_needs_no_plane_and_the_documents_models_do(home: Path) -> None:
    assert len(rows("--all")) == len(listed())
    assert "biplane up" in prices(code=NO_PLANE).stderr
    assert not home.exists()


def test_without_a_document_it_says_where_the_list_is(home: Path) -> None:
    started(home)
    assert "biplane gateway prices --all" in prices().stdout
    assert rows() == []
