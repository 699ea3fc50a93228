"""Registering once, whatever is killed when; with a real MLflow store and a real, if untrained, model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from control.specs.footprint import ModelFacts
from control.specs.step import StepRequest
from tests.train_jobs.conftest import MakeRequest
from train_jobs import register
from train_jobs.data import Batches
from train_jobs.model_dir import WEIGHTS, write_model
from train_jobs.receipt import sha256_of
from train_jobs.tracking import MetricTail, ensure_run, log_parameters
from train_jobs.train_step import build_model


@pytest.fixture
def model_dir(small: tuple[Any, Batches], tmp_path: Path) -> Path:
    tokenizer, _ = small
    model = build_model(len(tokenizer), 64, tokenizer.pad_token_id, tokenizer.eos_token_id)
    write_model(tmp_path / "model", model, tokenizer)
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def artifacts_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def client_of(request: StepRequest) -> MlflowClient:
    return MlflowClient(request.mlflow_uri)


def registration(request_for: MakeRequest, model_dir: Path, key: str = "") -> StepRequest:
    training = request_for("train")
    run_id = ensure_run(client_of(training), training)
    return request_for("register", key, model_dir=str(model_dir), run_id=run_id, accuracy="0.9900", model_name="codes")


def test_a_version_says_where_it_comes_from(request_for: MakeRequest, model_dir: Path) -> None:
    request = registration(request_for, model_dir)
    outputs = register.main(request)
    version = client_of(request).get_model_version("codes", outputs["version"])
    assert (outputs["model"], outputs["version"], outputs["path"]) == ("codes", "1", str(model_dir))
    assert version.source == outputs["source"]
    files = json.loads(version.tags.pop("biplane.files"))
    assert files[WEIGHTS] == [(model_dir / WEIGHTS).stat().st_size, sha256_of(model_dir / WEIGHTS)]
    assert version.tags == {
        "biplane.key": request.key,
        "accuracy": "0.9900",
        "weights-sha256": sha256_of(model_dir / WEIGHTS),
        "biplane.bytes": str(sum(size for size, _ in files.values())),
        **ModelFacts.of(json.loads((model_dir / "config.json").read_text()), files[WEIGHTS][0]).tags,
    }
    facts = ModelFacts.read(version.tags)
    assert facts is not None
    assert min(facts.cache_per_token, facts.context, facts.hidden) > 0


@pytest.mark.parametrize(
    ("least", "gate"), [("0.9", "passed"), ("0.99", "failed: accuracy 0.9900, needed more than 0.99")]
)
def test_a_version_says_whether_it_passed_its_gate(
    request_for: MakeRequest, model_dir: Path, least: str, gate: str
) -> None:
    request = registration(request_for, model_dir)
    request = replace(request, parameters={**request.parameters, "min-accuracy": least})
    version = client_of(request).get_model_version("codes", register.main(request)["version"])
    assert version.tags["biplane.gate"] == gate


def test_the_registered_artifact_is_the_model(request_for: MakeRequest, model_dir: Path, tmp_path: Path) -> None:
    request = registration(request_for, model_dir)
    register.main(request)
    fetched = client_of(request).download_artifacts(request.parameters["run-id"], register.ARTIFACT, str(tmp_path))
    assert sha256_of(Path(fetched) / WEIGHTS) == sha256_of(model_dir / WEIGHTS)
    assert json.loads((Path(fetched) / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_a_restart_after_everything_or_after_losing_the_receipt_makes_no_second_version(
    request_for: MakeRequest, model_dir: Path
) -> None:
    """SIGKILL between the registry's answer and the receipt: the version is there, the directory is empty."""
    request = registration(request_for, model_dir)
    first = register.main(request)
    assert register.main(request) == first
    shutil.rmtree(request.directory)
    Path(request.directory).mkdir()
    assert register.main(request) == first
    assert len(client_of(request).search_model_versions("name = 'codes'")) == 1


def test_a_restart_after_the_upload_or_after_the_empty_model_goes_on(request_for: MakeRequest, model_dir: Path) -> None:
    """SIGKILL before the version was made: the weights are in the run, the model has no version."""
    request = registration(request_for, model_dir)
    client = client_of(request)
    client.log_artifacts(request.parameters["run-id"], str(model_dir), register.ARTIFACT)
    client.create_registered_model("codes")
    assert register.main(request)["version"] == "1"


def test_another_step_makes_another_version(request_for: MakeRequest, model_dir: Path) -> None:
    first = register.main(registration(request_for, model_dir))
    shutil.rmtree(request_for("register").directory)
    second = register.main(registration(request_for, model_dir, key="run-2/register"))
    assert (first["version"], second["version"]) == ("1", "2")


def test_weights_that_could_run_code_are_refused(request_for: MakeRequest, model_dir: Path) -> None:
    (model_dir / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"only safetensors weights.*pytorch_model\.bin"):
        register.main(registration(request_for, model_dir))


def test_a_model_that_was_damaged_is_refused(request_for: MakeRequest, model_dir: Path) -> None:
    (model_dir / WEIGHTS).write_bytes(b"short")
    with pytest.raises(ValueError, match="holds no finished model"):
        register.main(registration(request_for, model_dir))


def test_a_step_has_one_run_and_parameters_may_be_logged_again(request_for: MakeRequest) -> None:
    request = request_for("train", "it's a key")
    client = client_of(request)
    run_id = ensure_run(client, request)
    for _ in range(2):
        log_parameters(client, run_id, {"epochs": "1"})
    assert ensure_run(client, request) == run_id
    assert client.get_run(run_id).data.params == {"epochs": "1"}


def test_metrics_are_sent_once_though_the_file_tells_them_twice(request_for: MakeRequest, tmp_path: Path) -> None:
    """A worker died at step 20 and did step 20 again; a line it was writing when it died has no end."""
    request = request_for("train")
    client = client_of(request)
    run_id = ensure_run(client, request)
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "at": 1.0, "loss": 1 / step}) for step in (10, 20, 20)]
    with MetricTail(client, run_id, path):
        path.write_text("\n".join([*lines, '{"step": 30']), encoding="utf-8")
    with MetricTail(client, run_id, path):
        path.write_text("\n".join([*lines, '{"step": 30, "at": 1.0, "loss": 0.03}', ""]), encoding="utf-8")
    assert [one.step for one in client.get_metric_history(run_id, "loss")] == [10, 20, 30]
