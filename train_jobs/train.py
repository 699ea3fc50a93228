"""The training step: a Ray Train job on the granted devices, ending in a Hugging Face directory that can be
served.

Runs inside a Ray actor that is already connected. Owns, in the request's directory: `checkpoints/` (see
checkpoint), `metrics.jsonl` (appended by rank 0), `ray/` (Ray Train's own bookkeeping, thrown away at each
start), `model/`, and `receipt.json`, which comes last. A crash at any line leaves at worst the steps since
the last checkpoint to be done again. A worker that fails is replaced up to three times by Ray Train and goes
on from the last good checkpoint. The next start may have another number of workers: the batch of each step, the number
of steps and the optimizer's state stay the same, whoever computes them.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import ray.train
from mlflow import MlflowClient
from ray.train.torch import TorchTrainer

from control.specs.step import DeviceGrant, Evicted, StepRequest
from train_jobs.model_dir import WEIGHTS
from train_jobs.parameters import Parameters
from train_jobs.receipt import RECEIPT, finished, write_receipt
from train_jobs.tracking import MetricTail, ensure_run, log_parameters
from train_jobs.train_step import Recipe
from train_jobs.worker import METRICS, MODEL, TRAINED, Job, LeasedTorch, work

DEFAULTS = {
    "base-model": "scratch",
    "learning-rate": "1e-3",
    "epochs": "1",
    "gpu-count": "1",
    "max-length": "128",
    "batch-size": "32",
    "seed": "0",
    "checkpoint-every": "100",
}


def main(request: StepRequest) -> dict[str, str]:
    """Trains on `dataset-dir`; outputs model-dir, run-id, loss (nats a token), steps, seconds (of training).

    There are as many workers as devices were granted (`gpu-count` without a grant). Raises ValueError for a
    parameter it cannot use, Ray's TrainingFailedError when workers failed four times, and Evicted when the devices are
    wanted back.
    """
    directory = Path(request.directory)
    done = finished(directory)
    if done is not None:
        return done
    parameters = Parameters(request, DEFAULTS)
    base, dataset = parameters.text("base-model"), Path(parameters.text("dataset-dir"))
    if base != "scratch":
        raise ValueError(
            f'parameter "base-model": "{base}" cannot be used: training from a base model comes with a later '
            'release; accepted now: "scratch" (a 1.9 million weight Llama, trained from nothing)'
        )
    data = finished(dataset)
    if data is None:
        raise ValueError(f'parameter "dataset-dir": {dataset} holds no finished data set')
    batch_size = parameters.whole("batch-size", least=1)
    recipe = Recipe(
        learning_rate=parameters.positive("learning-rate"),
        steps=math.ceil(parameters.positive("epochs") * int(data["train-rows"]) / batch_size),
        seed=parameters.whole("seed"),
        checkpoint_every=parameters.whole("checkpoint-every", least=1),
    )
    grant = request.grant or DeviceGrant()
    workers = len(grant.devices) or parameters.whole("gpu-count", least=1)
    if batch_size < workers:
        raise ValueError(f'parameter "batch-size": {batch_size} is too small for {workers} workers: each needs a row')
    job = Job(
        directory=str(directory),
        dataset=str(dataset),
        recipe=recipe,
        batch_size=batch_size,
        max_length=parameters.whole("max-length", least=8),
        grant=grant,
        workload=request.workload,
        claims=request.claims,
    )

    client = MlflowClient(request.mlflow_uri)
    run_id = ensure_run(client, request)
    log_parameters(client, run_id, {**DEFAULTS, **request.parameters, "steps": str(recipe.steps)})
    with MetricTail(client, run_id, directory / METRICS):
        trainer_for(job, workers, request).fit()
    if not (directory / TRAINED).exists():
        raise Evicted("the training has stopped at a checkpoint: its devices are wanted back")
    trained = json.loads((directory / TRAINED).read_text(encoding="utf-8"))
    for number, warning in enumerate(trained["warnings"]):
        client.set_tag(run_id, f"biplane.warning.{number}", warning)
    client.set_tag(run_id, "biplane.dataset-digest", data["digest"])
    client.set_terminated(run_id)
    outputs = {
        "model-dir": str(directory / MODEL),
        "run-id": run_id,
        "loss": f"{trained['loss']:.4f}",
        "steps": str(trained["step"]),
        "seconds": f"{trained['seconds']:.1f}",
    }
    if trained["warnings"]:
        outputs["warnings"] = "; ".join(trained["warnings"])
    write_receipt(directory, outputs, files=[TRAINED, f"{MODEL}/{RECEIPT}", f"{MODEL}/{WEIGHTS}"])
    return outputs


def trainer_for(job: Job, workers: int, request: StepRequest) -> TorchTrainer:
    """The Ray Train job: one worker a device, on the node that has the device."""
    bookkeeping = Path(job.directory) / "ray"
    shutil.rmtree(bookkeeping, ignore_errors=True)
    amounts = amounts_of(job.grant)
    return TorchTrainer(
        work,
        train_loop_config={"job": job},
        torch_config=LeasedTorch(),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers,
            use_gpu="GPU" in amounts,
            resources_per_worker=amounts,
            label_selector=[{"ray.io/node-id": piece.node_id} for piece in job.grant.pieces for _ in piece.devices]
            or None,
        ),
        run_config=ray.train.RunConfig(
            name="train",
            storage_path=str(bookkeeping),
            failure_config=ray.train.FailureConfig(max_failures=3),
            worker_runtime_env={"env_vars": dict(request.env)},
        ),
    )


def amounts_of(grant: DeviceGrant) -> dict[str, float]:
    """What each worker takes of Ray's resources: its device and its share of the cores, one core where none were asked.

    Raises ValueError where that is not the same for all of them.
    """
    amounts = {(piece.resource, piece.milli / 1000) for piece in grant.pieces if piece.devices}
    if len(amounts) > 1:
        found = " and ".join(sorted(f"{amount:g} {resource}" for resource, amount in amounts))
        raise ValueError(f"the lease gives a worker {found}; expected the same of each device")
    return {"CPU": grant.cpu / 1000 / max(1, len(grant.devices)) or 1.0, **dict(amounts)}
