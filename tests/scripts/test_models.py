"""`biplane models`, `describe model/…`, `diff`, `retire`, `restore`, `override-gate` and `import-model`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from control.kernel.home import HOME_VARIABLE
from control.kernel.plan import PutStatus
from control.registry.state import Run
from scripts.cli import import_model, model_commands
from scripts.cli.app import BAD_INPUT, FAILED, NOT_FOUND, app
from tests.control.registry.world import GATE_FAILED
from tests.control.router.world import deployment
from tests.fakes.fuse import Crash
from tests.fakes.home import started
from tests.fakes.mlflow import FakeUploads
from tests.fakes.model_directory import write_adapter, write_embedder, write_model
from tests.fakes.plane import Plane

FILES = json.dumps({"model.safetensors": [512, "ab" * 32]})


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plane:
    """Two versions of `chat`, the first in production, the second with a failed gate."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    plane = started(tmp_path / "home")
    plane.mlflow.logged = {
        "run-1": Run(False, "ada", {"base-model": "tiny", "epochs": "3"}, {"loss": 0.5}, {}),
        "run-2": Run(False, "ada", {"base-model": "tiny", "epochs": "9"}, {"loss": 0.25}, {}),
    }
    about = {"dataset-digest": "d1" * 32, "biplane.bytes": "512", "biplane.files": FILES}
    plane.mlflow.register("chat", "first", accuracy="0.96", **about)
    serve(plane, 1)
    plane.mlflow.register("chat", "second", accuracy="0.81", **{**about, "biplane.gate": GATE_FAILED})
    turn(plane)
    return plane


def serve(plane: Plane, version: int) -> None:
    """The deployment as the router leaves it."""
    plane.apply(deployment(version=version))
    status = {"phase": "Ready", "arms": [{"version": version, "weight": 1.0}]}
    ready = PutStatus(kind="Deployment", name="chat", event="Ready", reason="", status=status)
    plane.store.commit((ready,), who="router", now=plane.clock())
    turn(plane)


def turn(plane: Plane) -> None:
    """The registry takes over, records, and rests."""
    for _ in range(3):
        plane.turn("registry")


def biplane(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


def one(*words: str) -> dict[str, Any]:
    (line,) = biplane(*words, "--json").stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.usefixtures("plane")
def test_models_says_where_each_version_is_and_how_good_it_is() -> None:
    first, second = one("models")["models"]
    assert (first["stage"], first["accuracy"], first["serves"]) == (
        "production",
        0.96,
        [{"deployment": "chat", "role": "production", "weight": 1.0}],
    )
    assert (second["stage"], second["gate"], second["serves"]) == ("registered", GATE_FAILED, [])
    assert (first["base_model"], first["registered_by"], first["bytes"]) == ("tiny", "ada", 512)
    assert "chat 100%" in biplane("models").stdout
    assert len(one("models", "model/chat")["models"]) == 2


@pytest.mark.usefixtures("plane")
def test_a_model_or_version_that_is_not_there_is_named_with_the_nearest() -> None:
    assert "did you mean 'chat'?" in biplane("models", "model/chet", code=NOT_FOUND).stderr
    assert "there are: chat@1, chat@2" in biplane("describe", "model/chat@7", code=NOT_FOUND).stderr


@pytest.mark.usefixtures("plane")
def test_describe_shows_lineage_and_history_of_a_version_or_of_the_newest() -> None:
    shown = biplane("describe", "model/chat@1").stdout
    for fact in ("production", "base model", "tiny", "d1d1", "epochs", "0.9600", "run-1", "deployment chat serves it"):
        assert fact in shown
    found = one("describe", "model/chat@1")
    assert [event["event"] for event in found["events"]] == ["Registered", "Production"]
    assert one("describe", "model/chat")["name"] == "chat@2"


@pytest.mark.usefixtures("plane")
def test_diff_says_what_two_versions_do_not_have_in_common() -> None:
    found = one("diff", "model/chat@1", "model/chat@2")
    said = {(d["what"], d["name"]): (d["before"], d["after"]) for d in found["differences"]}
    assert said["parameters", "epochs"] == ("3", "9")
    assert said["metrics", "accuracy"] == ("0.96", "0.81")
    assert said["tag", "biplane.gate"] == (None, GATE_FAILED)
    assert not {what for what, _ in said} & {"lineage", "file", "size"}
    assert "epochs" in biplane("diff", "chat@1", "chat@2").stdout
    assert "do not differ" in biplane("diff", "chat@1", "chat@1").stdout


def test_what_a_deployment_works_with_is_not_retired(plane: Plane) -> None:
    said = biplane("retire", "model/chat@1", "--reason", "old", code=FAILED).stderr
    assert "chat@1 is in use by deployment chat (production); move it to another version" in said
    assert plane.store.get("Retirement", "chat@1") is None


def test_what_has_traffic_is_deleted_only_when_it_is_drained(plane: Plane) -> None:
    for more in ((), ("--dry-run",)):
        said = biplane("delete", "deployment/chat", *more, code=FAILED).stderr
        assert "deployment chat serves version 1 (100%); --drain deletes it all the same" in said
    assert len(plane.store.list("Deployment")) == 1
    biplane("delete", "deployment/chat", "--drain")
    assert plane.store.list("Deployment") == ()


@pytest.mark.usefixtures("plane")
def test_a_version_is_not_deleted_but_retired_and_not_while_it_serves() -> None:
    said = biplane("delete", "model/chat@1", code=NOT_FOUND).stderr
    assert "chat@1 is in use by deployment chat (production); move it to another version" in said
    assert "biplane retire model/chat@2 --reason WHY" in biplane("delete", "model/chat@2", code=NOT_FOUND).stderr


def test_an_adapter_that_a_deployment_serves_is_in_use(plane: Plane) -> None:
    plane.mlflow.register("law", "key", **{"biplane.kind": "adapter", "biplane.rank": "8"})
    turn(plane)
    plane.apply(deployment(version=1) + "  adapters: [{name: law, model: law}]\n")
    turn(plane)
    (row,) = one("models", "model/law")["models"]
    assert (row["stage"], row["serves"]) == (
        "production",
        [{"deployment": "chat", "role": "production", "weight": 1.0}],
    )
    assert "law@1 is in use by deployment chat" in biplane("retire", "law@1", "--reason", "old", code=FAILED).stderr
    assert "LoRA adapter, rank 8" in biplane("describe", "model/law@1").stdout


def test_a_version_is_retired_and_taken_back_with_who_and_why(plane: Plane) -> None:
    biplane("retire", "model/chat@2", "--reason", "it leaks names")
    turn(plane)
    (row,) = (row for row in one("models")["models"] if row["version"] == 2)
    assert row["stage"] == "retired"
    assert "it leaks names" in row["refused"]
    assert plane.mlflow.tags_of("chat@2")["biplane.stage"] == "retired"
    assert one("restore", "model/chat@2", "--reason", "a mistake")["done"] == "chat@2 may be deployed again"
    turn(plane)
    told = [(e["event"], e["reason"]) for e in one("describe", "model/chat@2")["events"]]
    assert ("RetirementAsked", "it leaks names") in told
    assert ("RestorationAsked", "a mistake") in told
    assert told[-1] == ("Restored", "restored")
    assert "is not retired" in biplane("restore", "model/chat@2", code=FAILED).stderr


def test_a_failed_gate_is_overridden_by_a_person_with_a_reason(plane: Plane) -> None:
    assert "nothing to override" in biplane("override-gate", "chat@1", "--reason", "x", code=FAILED).stderr
    biplane("override-gate", "model/chat@2", "--reason", "a drill")
    serve(plane, 2)
    row = one("models")["models"][1]
    assert (row["stage"], row["refused"]) == ("production", "")
    assert ("GateOverridden", "a drill") in [
        (e["event"], e["reason"]) for e in one("describe", "model/chat@2")["events"]
    ]


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize("command", ["models", "diff", "retire", "restore", "override-gate", "import-model"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    assert f"biplane {command}" in " ".join(biplane(command, "--help").stdout.split())


@pytest.mark.usefixtures("plane")
def test_names_are_completed() -> None:
    assert model_commands.complete("model/chat@") == ["model/chat@1", "model/chat@2"]
    assert model_commands.complete("model/other") == []


def imported(mlflow: FakeUploads, directory: Path, **changes: Any) -> import_model.Imported:
    listing = import_model.checked(directory, chat=changes.pop("chat", True))
    return import_model.import_model(mlflow, directory, "chat", str(directory), listing)


def test_a_directory_becomes_a_version_once_with_its_sizes_and_digests(tmp_path: Path) -> None:
    mlflow = FakeUploads()
    write_model(tmp_path, shards=2)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "notes.txt").write_text("kept")
    done = imported(mlflow, tmp_path)
    assert (done.version, done.new, done.left_out) == (1, True, ("pytorch_model.bin",))
    (version,) = mlflow.versions
    assert version.source == "mlflow-artifacts:/run0/model"
    assert version.tags["biplane.bytes"] == str(done.bytes)
    assert len(version.tags["weights-sha256"]) == 64
    assert "model/extra/notes.txt" in mlflow.files["run0"]
    assert set(json.loads(version.tags["biplane.files"])) == {name[6:] for name in mlflow.files["run0"]}
    again = imported(mlflow, tmp_path)
    assert (again.version, again.new, len(mlflow.versions)) == (1, False, 1)
    write_model(tmp_path, shards=2, fill=b"\1")
    assert imported(mlflow, tmp_path).version == 2


def test_an_import_that_dies_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    write_model(tmp_path)
    whole = FakeUploads()
    imported(whole, tmp_path)
    for steps in range(20):
        mlflow = FakeUploads()
        mlflow.dies_after = steps
        try:
            imported(mlflow, tmp_path)
        except Crash:
            mlflow.dies_after = 1_000_000
            imported(mlflow, tmp_path)
        assert mlflow.files == whole.files
        assert [v.tags for v in mlflow.versions] == [v.tags for v in whole.versions]


def test_an_adapter_and_a_model_that_embeds_say_so_by_their_tags(tmp_path: Path) -> None:
    mlflow = FakeUploads()
    imported(mlflow, write_adapter(tmp_path / "adapter"))
    imported(mlflow, write_embedder(tmp_path / "embedder"))
    adapter, embedder = (version.tags for version in mlflow.versions)
    told = ("biplane.kind", "biplane.base-model", "biplane.rank", "biplane.hidden-size")
    assert [adapter[tag] for tag in told] == ["adapter", "org/base", "2", "4"]
    assert (embedder["biplane.task"], "biplane.kind" in embedder) == ("embed", False)
    assert int(embedder["biplane.weights-bytes"]) > 0
    assert "model/2_Dense/model.safetensors" in mlflow.files["run1"]


@pytest.mark.usefixtures("plane")
def test_an_adapter_is_no_version_of_a_whole_model(tmp_path: Path) -> None:
    source = str(write_adapter(tmp_path / "adapter"))
    said = biplane("import-model", source, "--name", "chat", code=BAD_INPUT).stderr
    assert "this is an adapter, and the versions of chat are whole models; give it a name of its own" in said
    assert "MLflow does not answer" in biplane("import-model", source, "--name", "law", code=FAILED).stderr


def test_an_adapter_that_runs_code_is_refused(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path)
    (directory / "adapter_model.safetensors").rename(directory / "adapter_model.bin")
    with pytest.raises(import_model.NotServable, match=r"adapter_model\.bin; only safetensors are taken"):
        import_model.checked(directory, chat=True)


def test_a_template_that_is_given_is_registered_with_the_model(tmp_path: Path) -> None:
    mlflow, template = FakeUploads(), tmp_path / "mine.jinja"
    template.write_text("{{ mine }}")
    source = write_model(tmp_path / "model", chat=False)
    with import_model.prepared(str(source), template) as directory:
        imported(mlflow, directory)
    assert mlflow.files["run0"]["model/chat_template.jinja"] == b"{{ mine }}"
    assert not (source / "chat_template.jinja").exists()


@pytest.mark.usefixtures("plane")
def test_what_cannot_be_served_is_refused_before_anything_is_uploaded(tmp_path: Path) -> None:
    broken = write_model(tmp_path / "broken", chat=False)
    (broken / "model.safetensors").unlink()
    said = biplane("import-model", str(broken), "--name", "chat", code=BAD_INPUT).stderr
    assert f"{broken}: there are no weights" in said
    assert f"{broken}: there is no chat template" in said
    assert "there is no directory" in biplane("import-model", "./nowhere", "--name", "x", code=BAD_INPUT).stderr
    assert "expected letters" in biplane("import-model", str(broken), "--name", "a/b", code=BAD_INPUT).stderr
    absent = biplane("import-model", str(broken), "--name", "x", "--chat-template", "/no/such", code=BAD_INPUT)
    assert "No such file" in absent.stderr


@pytest.mark.usefixtures("plane")
def test_an_import_while_mlflow_is_away_says_how_to_bring_it_back(tmp_path: Path) -> None:
    source = str(write_model(tmp_path / "model"))
    assert "biplane up" in biplane("import-model", source, "--name", "chat", code=FAILED).stderr
