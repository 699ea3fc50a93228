"""`biplane gateway keys`: secrets are shown once, what is wrong is told with what was meant."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from control.kernel.home import HOME_VARIABLE, Home
from control.keys import ensure_api_key
from scripts.cli import gateway_commands
from scripts.cli.app import BAD_INPUT, FAILED, NO_PLANE, NOT_FOUND, app
from tests.control.specs.samples import GATEWAY
from tests.fakes.home import started
from tests.fakes.plane import Plane


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return Home(tmp_path / "home")


@pytest.fixture
def plane(home: Home) -> Plane:
    """With one route, `chat`, to gpt-4o and llama, and the first key."""
    plane = started(home.path)
    ensure_api_key(home, plane.store, now=1.0)
    plane.apply(GATEWAY)
    return plane


def keys(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["gateway", "keys", *words])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


def one(*words: str) -> dict[str, Any]:
    (line,) = keys(*words, "--json").stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def spec_of(plane: Plane, name: str) -> dict[str, Any]:
    found = plane.store.get("ApiKey", name)
    assert found is not None
    return dict(found.spec)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def test_a_key_is_made_with_all_that_was_said_of_it_and_its_secret_is_shown_once(plane: Plane) -> None:
    scope = ("--organization", "lab", "--route", "chat", "--model", "gpt-4*", "--model", "llama")
    limits = ("--requests-per-minute", "60", "--tokens-per-minute", "9000", "--cost-per-day", "2.5")
    before = plane.clock()
    made = one("create", "alice", *scope, *limits, "--expires", "30d", "--priority", "low")
    spec = spec_of(plane, "alice")
    assert spec["sha256"] == digest(made["key"])
    assert (spec["organization"], spec["routes"], spec["models"]) == ("lab", ["chat"], ["gpt-4*", "llama"])
    assert spec["limits"] == {"requests_per_minute": 60, "tokens_per_minute": 9000, "cost_per_day": 2.5}
    assert spec["priority"] == "low"
    assert spec["expires_at"] > before + 29 * 86400
    listed = keys("list").stdout
    assert "60 requests/min, 9000 tokens/min, 2.5 $/day" in listed
    for shown in (listed, keys("list", "--json").stdout):
        assert made["key"] not in shown
        assert spec["sha256"] not in shown


def test_for_people_the_secret_is_on_standard_output_unless_a_file_takes_it(plane: Plane, tmp_path: Path) -> None:
    said = keys("create", "alice").stdout
    assert said.startswith("API key alice created (its secret is shown once): bp-")
    assert digest(said.split()[-1]) == spec_of(plane, "alice")["sha256"]
    file = tmp_path / "alice.key"
    said = keys("rotate", "alice", "--secret-file", str(file)).stdout
    assert said == f"API key alice rotated; its secret is in {file}\n"
    assert digest(file.read_text().strip()) == spec_of(plane, "alice")["sha256"]
    assert "key" not in one("rotate", "alice", "--secret-file", str(file))


def test_a_list_says_how_each_key_is(plane: Plane) -> None:
    keys("create", "alice")
    keys("rotate", "alice", "--grace", "1h")
    keys("create", "bob")
    keys("revoke", "bob", "--reason", "it was in a log")
    found = {row["name"]: row for row in one("list")["keys"]}
    assert {name: row["standing"] for name, row in found.items()} == {
        "admin": "valid",
        "alice": "valid",
        "bob": "revoked",
    }
    assert found["alice"]["previous_until"] > found["alice"]["created_at"] + 3500
    assert "valid, the former secret until " in keys("list").stdout
    assert [event.reason for event in plane.store.events("ApiKey", "bob")][-1] == "it was in a log"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("create", "bob", "--model", "gpt4o"), BAD_INPUT, "there is no model 'gpt4o'; did you mean 'gpt-4o'?"),
        (("create", "bob", "--route", "chta"), BAD_INPUT, "there is no route 'chta'; did you mean 'chat'?"),
        (("create", "Bob"), BAD_INPUT, "found 'Bob'"),
        (("create", "bob", "--organization", "The Lab"), BAD_INPUT, "found 'The Lab'"),
        (("create", "bob", "--model", "g*t"), BAD_INPUT, "found 'g*t'"),
        (("create", "bob", "--expires", "soon"), BAD_INPUT, "found 'soon'"),
        (("create", "bob", "--expires", "0s"), BAD_INPUT, "the key would expire before it is made"),
        (("create", "bob", "--priority", "urgent"), BAD_INPUT, "'urgent'"),
        (("create", "bob", "--cost-per-day", "inf"), BAD_INPUT, "finite number"),
        (("create", "bob", "--requests-per-minute", "0"), BAD_INPUT, "greater than or equal to 1"),
        (("create", "admin"), FAILED, "there is an API key 'admin' already"),
        (("rotate", "admim"), NOT_FOUND, "did you mean 'admin'?"),
        (("revoke", "admin"), FAILED, "'admin' is the last API key that is good"),
    ],
)
def test_what_is_wrong_is_said_on_standard_error_and_changes_nothing(
    plane: Plane, words: tuple[str, ...], code: int, message: str
) -> None:
    before = plane.store.revision()
    result = keys(*words, code=code)
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert result.stdout == ""
    assert plane.store.revision() == before


@pytest.mark.parametrize("words", [("create", "bob"), ("rotate", "admin"), ("revoke", "admin", "--force")])
def test_a_dry_run_writes_nothing_and_shows_no_secret(plane: Plane, words: tuple[str, ...]) -> None:
    before = plane.store.revision()
    assert "would be" in keys(*words, "--dry-run").stdout
    assert "key" not in one(*words, "--dry-run")
    assert plane.store.revision() == before


def test_the_last_key_is_revoked_where_that_is_meant(plane: Plane) -> None:
    assert keys("revoke", "admin", "--force").stdout == "API key admin is revoked\n"
    assert spec_of(plane, "admin")["revoked_at"] > 0


@pytest.mark.parametrize("words", [("create", "bob"), ("list",), ("rotate", "bob"), ("revoke", "bob")])
def test_without_a_plane_every_command_says_how_to_start_one(words: tuple[str, ...], home: Home) -> None:
    assert "start one with: biplane up" in keys(*words, code=NO_PLANE).stderr
    assert not home.path.exists()


COMMANDS = [c.name or c.callback.__name__ for c in gateway_commands.keys.registered_commands if c.callback]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    assert "Example: " in keys(command, "--help").stdout
