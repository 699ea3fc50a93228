"""The registration step: one version in MLflow's model registry for one step, however often it is started.

A version is found by its tag `biplane.key` before one is made, and made with that tag in one call, so a crash
between any two lines leaves either no version or one that the next start finds. The weights are logged to the
training run under a fixed path first; logging them again writes the same files over themselves.
"""

from __future__ import annotations

import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from control.specs.footprint import ModelFacts
from control.specs.step import StepRequest
from train_jobs.model_dir import CONFIG, WEIGHTS
from train_jobs.parameters import Parameters
from train_jobs.receipt import RECEIPT, finished, sha256_of, write_receipt
from train_jobs.tracking import KEY, quoted

DEFAULTS: dict[str, str] = {"dataset-digest": "", "accuracy": "", "min-accuracy": ""}
ARTIFACT = "model"
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def main(request: StepRequest) -> dict[str, str]:
    """Registers `model-dir` as the next version of `model-name`; outputs model, version, source, path.

    `source` is the artifact's URI in MLflow, `path` the local directory it can be served from. Raises
    ValueError when the model is not finished or holds files that could run code when loaded.
    """
    directory = Path(request.directory)
    done = finished(directory)
    if done is not None:
        return done
    parameters = Parameters(request, DEFAULTS)
    name, run_id = parameters.text("model-name"), parameters.text("run-id")
    model_dir = Path(parameters.text("model-dir"))
    check_model(model_dir)
    client = MlflowClient(request.mlflow_uri)
    version = find_version(client, name, request.key)
    if version is None:
        client.log_artifacts(run_id, str(model_dir), ARTIFACT)
        version = create_version(client, name, run_id, tags_of(client, request, parameters, model_dir))
    outputs = {
        "model": name,
        "version": str(version.version),
        "source": str(version.source),
        "path": str(model_dir),
    }
    write_receipt(directory, outputs, files=[])
    return outputs


def check_model(model_dir: Path) -> None:
    """Raises ValueError unless `model_dir` is whole and its weights are safetensors only."""
    if finished(model_dir) is None:
        raise ValueError(f'parameter "model-dir": {model_dir} holds no finished model')
    unsafe = sorted(path.name for path in model_dir.rglob("*") if path.suffix in PICKLED)
    if unsafe or not (model_dir / WEIGHTS).is_file():
        found = f"it holds {', '.join(unsafe)}" if unsafe else f"it has no {WEIGHTS}"
        raise ValueError(f'parameter "model-dir": only safetensors weights are registered, and {found}')


def find_version(client: MlflowClient, name: str, key: str) -> ModelVersion | None:
    """The version of `name` that this step made before, if any."""
    found = client.search_model_versions(f"name = {quoted(name)} and tags.`{KEY}` = {quoted(key)}")
    return min(found, key=lambda one: int(one.version), default=None)


def create_version(client: MlflowClient, name: str, run_id: str, tags: dict[str, str]) -> ModelVersion:
    """A new version of `name` that carries `tags` from its first moment; makes the registered model if need
    be."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACT}"
    return client.create_model_version(name, source=source, run_id=run_id, tags=tags)


def tags_of(client: MlflowClient, request: StepRequest, parameters: Parameters, model_dir: Path) -> dict[str, str]:
    """What a version says about itself: which step made it, how good it is, on which data, which weights, and what
    serving them takes."""
    known = client.get_run(parameters.text("run-id")).data.tags
    described = json.loads((model_dir / RECEIPT).read_text(encoding="utf-8"))["files"]
    files = {file: (about["bytes"], about["sha256"]) for file, about in described.items()}
    tags = {
        KEY: request.key,
        "accuracy": parameters.optional("accuracy") or known.get("biplane.accuracy", ""),
        "dataset-digest": parameters.optional("dataset-digest") or known.get("biplane.dataset-digest", ""),
        "weights-sha256": sha256_of(model_dir / WEIGHTS),
        "biplane.bytes": str(sum(size for size, _ in files.values())),
        "biplane.files": json.dumps(files),
        **ModelFacts.of(json.loads((model_dir / CONFIG).read_text(encoding="utf-8")), files[WEIGHTS][0]).tags,
    }
    if least := parameters.optional("min-accuracy"):
        passed = float(tags["accuracy"] or 0) > float(least)
        tags["biplane.gate"] = "passed" if passed else f"failed: accuracy {tags['accuracy']}, needed more than {least}"
    return {tag: value for tag, value in tags.items() if value}
