"""The command line: one JSON object a line for programs, sentences for people, an exit code for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from control.kernel.home import HOME_VARIABLE
from control.kernel.ids import DOMAINS
from control.kernel.plan import PutStatus
from control.router.rollout_json import to_json
from control.router.rollout_state import Release, Stage, State
from scripts.cli.app import BAD_INPUT, FAILED, NO_PLANE, NOT_FOUND, app
from tests.control.router.world import deployment
from tests.fakes.home import SETTINGS, started
from tests.fakes.plane import WORKFLOW, Plane


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


@pytest.fixture
def plane(home: Path) -> Plane:
    return started(home)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def to_file(text: str, name: str = "mine.yaml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return to_file


def biplane(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


def objects(*words: str, code: int = 0) -> list[dict[str, Any]]:
    """What a command says with --json: every line of standard output is one object."""
    return [json.loads(line) for line in biplane(*words, "--json", code=code).stdout.splitlines()]


def one(*words: str, code: int = 0) -> dict[str, Any]:
    (found,) = objects(*words, code=code)
    return found


@pytest.mark.usefixtures("plane")
def test_apply_says_what_became_of_each_document(write: Callable[..., str]) -> None:
    file = write(deployment())
    assert "Deployment/chat created" in biplane("apply", "-f", file).stdout
    assert "Deployment/chat unchanged" in biplane("apply", "-f", file).stdout
    changed = one("apply", "-f", write(deployment(replicas=2) + "---\n" + WORKFLOW))
    assert [(a["name"], a["outcome"]) for a in changed["applied"]] == [("chat", "changed"), ("tune", "created")]
    assert (changed["dry_run"], changed["warnings"], changed["previews"]) == (False, [], [])


def test_a_dry_run_needs_no_plane_and_shows_lines_and_fields(home: Path, write: Callable[..., str]) -> None:
    file = write(WORKFLOW)
    shown = biplane("apply", "-f", file, "--dry-run")
    assert "Workflow/tune created (dry run)" in shown.stdout
    assert "after training" in shown.stdout
    assert "no plane was started here" in shown.stderr
    found = one("apply", "-f", file, "--dry-run")
    assert [line["name"] for line in found["previews"][0]["lines"]] == ["data", "training", "evaluation", "deployment"]
    assert len(found["warnings"]) == 1
    assert not home.exists()


def test_what_can_never_fit_is_refused_at_apply_with_its_line_and_nothing_is_applied(
    plane: Plane, write: Callable[..., str]
) -> None:
    file = write(WORKFLOW + "---\n" + deployment(devices=9))
    result = biplane("apply", "-f", file, code=BAD_INPUT)
    line = (WORKFLOW + "---\n" + deployment()).splitlines().index("  devices: 1") + 1
    assert f"{file}:{line}: spec.devices: 9 device(s)" in result.stderr
    assert "sim-0 has 8 H100-80GB, 9 are asked for" in result.stderr
    assert result.stdout == ""
    assert plane.store.list("Workflow", "Deployment") == ()


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("get", "deploymnts"), NOT_FOUND, "did you mean 'deployments'?"),
        (("get", "deployment/chat"), NOT_FOUND, "there is no Deployment 'chat'"),
        (("describe", "deployment"), NOT_FOUND, "expected KIND/NAME, for example deployment/status-codes"),
        (("delete", "node/sim-0"), NOT_FOUND, "Node sim-0 is observed"),
        (("explain", "workflow/tune"), NOT_FOUND, "there is no Workflow 'tune'"),
        (("rerun", "tune"), NOT_FOUND, "there is no Workflow 'tune'"),
        (("wait", "run/tune-1"), NOT_FOUND, "there is no Run 'tune-1'"),
        (("events", "node"), NOT_FOUND, "expected KIND/NAME"),
        (("apply", "-f", "/no/such/file.yaml"), BAD_INPUT, "/no/such/file.yaml: No such file or directory"),
    ],
)
def test_what_is_wrong_is_said_on_standard_error_with_its_exit_code(
    words: tuple[str, ...], code: int, message: str
) -> None:
    result = biplane(*words, code=code)
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [("get", "runs"), ("status",), ("env",), ("events",), ("explain", "run/x"), ("delete", "run/x"), ("wait", "run/x")],
)
def test_without_a_plane_every_command_says_how_to_start_one(words: tuple[str, ...], home: Path) -> None:
    result = biplane(*words, code=NO_PLANE)
    assert f"no plane was started on {home}; start one with: biplane up" in result.stderr
    assert not home.exists()


def test_applying_without_a_plane_is_refused(write: Callable[..., str], home: Path) -> None:
    biplane("apply", "-f", write(deployment()), code=NO_PLANE)
    assert not home.exists()


def test_a_file_that_is_not_right_names_the_place(write: Callable[..., str]) -> None:
    file = write(deployment().replace("replicas", "replica"))
    result = biplane("apply", "-f", file, "--dry-run", code=BAD_INPUT)
    assert f"{file}:8: " in result.stderr
    assert "did you mean 'replicas'?" in result.stderr


def test_get_lists_and_describes_what_there_is(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    assert "Succeeded" in biplane("get", "runs").stdout
    (run,) = one("get", "run/tune-1")["objects"]
    assert (run["name"], run["phase"], run["status"]["tasks"]["data"]["state"]) == ("tune-1", "Succeeded", "Succeeded")
    assert one("get", "apikeys") == {"objects": []}
    assert biplane("get", "apikeys").stdout == "None.\n"
    described = one("describe", "run/tune-1")
    assert described["events"][0]["event"] == "Started"
    assert "Run/tune-1" in biplane("describe", "run/tune-1").stdout


def test_delete_says_what_it_does_and_a_dry_run_does_not_do_it(plane: Plane) -> None:
    plane.apply(deployment())
    assert "would be deleted" in biplane("delete", "deployment/chat", "--dry-run").stdout
    assert len(plane.store.list("Deployment")) == 1
    assert one("delete", "deployment/chat") == {"dry_run": False, "kind": "Deployment", "name": "chat"}
    assert plane.store.list("Deployment") == ()


def test_a_change_during_a_roll_out_is_refused_until_it_is_forced(plane: Plane, write: Callable[..., str]) -> None:
    plane.apply(deployment(version=3))
    state = State(Stage.STEPPING, Release(2, "aa"), Release(3, "bb"), 25.0)
    status = {"phase": "RollingOut", "reason": "", "rollout": to_json(state)}
    begun = PutStatus(kind="Deployment", name="chat", event="RollingOut", reason="", status=status)
    plane.store.commit((begun,), who="router", now=plane.clock())
    four = write(deployment(version=4))
    said = biplane("apply", "-f", four, code=BAD_INPUT).stderr
    assert "a roll-out from version 2 to version 3 goes on (25 % of the traffic so far)" in said
    assert "biplane rollout abort chat" in said
    assert plane.only("Deployment").spec["spec"]["version"] == 3
    biplane("apply", "-f", four, "--force")
    assert plane.only("Deployment").spec["spec"]["version"] == 4


def test_events_are_one_object_a_line_oldest_first(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    found = objects("events", "run/tune-1")
    assert [event["event"] for event in found][:: len(found) - 1] == ["Started", "Succeeded"]
    assert objects("events", "run/tune-1", "--limit", "1") == found[-1:]
    assert "deployment succeeded: version 1 of tune serves as tune" in biplane("events", "run/tune-1").stdout
    assert len(objects("events", "--limit", "5")) == 5


def test_explain_leads_from_the_workflow_to_the_scheduler_s_answer(plane: Plane) -> None:
    plane.apply("apiVersion: biplane/v1\nkind: Workload\nmetadata: {name: hog}\nspec: {type: inference, devices: 7}\n")
    plane.settle()
    plane.apply(WORKFLOW)
    plane.settle()
    reason = "sim-0 has 1 of its 8 H100-80GB free, 2 are asked for"
    assert reason in biplane("explain", "workflow/tune").stdout
    assert reason in [finding["reason"] for finding in one("explain", "workflow/tune")["findings"]]


def test_rerun_names_the_run_that_starts(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    assert one("rerun", "workflow/tune") == {"run": "tune-2"}
    assert "biplane wait run/tune-3" in biplane("rerun", "tune").stdout


def test_wait_ends_with_the_end_and_tells_progress_on_standard_error(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    result = biplane("wait", "workflow/tune")
    assert result.stdout.startswith("Run/tune-1 Succeeded: ")
    assert "Started" in result.stderr
    assert one("wait", "workflow/tune")["well"] is True


def test_wait_for_what_failed_exits_with_failure(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.turn()
    plane.turn()
    plane.drive.fail(str(plane.step("data")), "ValueError: [no] rows")
    plane.turn()
    plane.turn()
    assert one("wait", "run/tune-1", code=FAILED)["well"] is False
    assert "ValueError: [no] rows" in biplane("wait", "run/tune-1", code=FAILED).stdout


def test_waiting_too_long_is_a_failure_and_not_wrong_input(plane: Plane) -> None:
    plane.apply(deployment())
    plane.turn()
    result = biplane("wait", "deployment/chat", "--timeout", "0", code=FAILED)
    assert "is still Waiting after 0 s: any version of model chat is not registered" in result.stderr


def test_env_is_what_a_shell_can_evaluate(plane: Plane, home: Path) -> None:
    lines = biplane("env").stdout.splitlines()
    assert f"export RAY_ADDRESS=127.0.0.2:{SETTINGS.ray_port}" in lines
    assert all(line.startswith("export ") for line in lines)
    assert one("env")[HOME_VARIABLE] == str(home)


def test_health_fails_while_something_is_wrong_and_says_what(plane: Plane) -> None:
    now = time.time()
    for actor in DOMAINS:
        plane.store.beat(actor, {}, now=now)
    found = one("health")
    assert (found["problems"], found["backlog"]) == ([], [])
    plane.store.beat("router", {}, now=now - 60.0)
    assert one("health", code=FAILED)["problems"] == ["router gives no sign of life"]
    shown = biplane("health", code=FAILED).stdout
    assert "SILENT" in shown
    assert "Pending GPU requests: none" in shown


def test_status_fails_when_a_control_actor_is_silent(plane: Plane) -> None:
    body = dict.fromkeys(("observe", "decide", "record", "act"), 0.001)
    assert one("status")["silent"] == []
    plane.store.beat("router", body, now=5.0)
    assert one("status", code=FAILED)["silent"] == ["router"]
    assert "[silent]" in biplane("status", code=FAILED).stdout


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in app.registered_commands if c.callback])
def test_every_command_has_help_with_an_example(command: str) -> None:
    assert "Example: " in biplane(command, "--help").stdout


def test_gpus_draws_every_device_and_who_holds_it(plane: Plane, write: Callable[..., str]) -> None:
    plane.settle()
    workload = "apiVersion: biplane/v1\nkind: Workload\nmetadata: {name: mine}\nspec: {type: batch, devices: 3}\n"
    biplane("apply", "-f", write(workload))
    plane.settle()
    drawn = biplane("gpus").stdout
    assert "■■■·····" in drawn
    assert "3 of 8 devices held" in drawn
    (seen,) = one("gpus")["nodes"]
    assert [device["holders"] for device in seen["devices"]].count(["mine"]) == 3


def test_a_cordoned_node_takes_nothing_new_and_a_drained_one_is_left(plane: Plane, write: Callable[..., str]) -> None:
    plane.settle()
    biplane("cordon", "sim-0", "--reason", "a fan hums")
    workload = "apiVersion: biplane/v1\nkind: Workload\nmetadata: {name: mine}\nspec: {type: batch, devices: 3}\n"
    biplane("apply", "-f", write(workload))
    plane.settle()
    told = [finding["reason"] for finding in one("explain", "workload/mine")["findings"]]
    assert "sim-0 takes nothing new: a fan hums" in told
    biplane("uncordon", "sim-0")
    plane.settle()
    assert "3 of 8 devices held" in biplane("gpus").stdout
    biplane("drain", "sim-0")
    plane.settle()
    plane.clock.tick(31)  # its grace
    plane.settle()
    assert "0 of 8 devices held" in biplane("gpus").stdout


def test_cordoning_what_nobody_knows_names_the_nearest(plane: Plane) -> None:
    plane.settle()
    assert "did you mean 'sim-0'?" in biplane("cordon", "sim-9", code=NOT_FOUND).stderr
    biplane("uncordon", "sim-0", code=NOT_FOUND)
