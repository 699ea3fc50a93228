"""What the training and evaluation steps refuse before they take a device, and what a model directory holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.claims import claims_in
from control.specs.step import DeviceGrant, Evicted, GrantPiece, StepRequest
from tests.train_jobs.conftest import MakeRequest
from train_jobs import evaluate
from train_jobs import train as train_job
from train_jobs.data import Batches, encode
from train_jobs.model_dir import write_model
from train_jobs.prepare import HELDOUT_FILE
from train_jobs.rows import ask
from train_jobs.tracking import ensure_run
from train_jobs.train_step import AnswerLoss, Recipe, build_model, learning_rate_at, train
from train_jobs.worker import Job, claim_device, computing_device


def test_a_base_model_is_refused_with_what_is_accepted(request_for: MakeRequest) -> None:
    request = request_for("train", base_model="meta-llama/Llama-3.1-8B", dataset_dir="x")
    with pytest.raises(ValueError, match=r'Llama-3.1-8B" cannot be used.*later release.*"scratch"'):
        train_job.main(request)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"epochs": "none"}, r'"epochs" is "none"; expected a number'),
        ({"epochs": "0"}, r'"epochs" is "0"; expected a number greater than zero'),
        ({"gpu_count": "two"}, r'"gpu-count" is "two"; expected a whole number'),
        ({"gpu_count": "0"}, r'"gpu-count" is "0"; expected 1 or more'),
        ({"batch_size": "2", "gpu_count": "3"}, r"2 is too small for 3 workers"),
        ({"dataset_dir": "nowhere"}, r"nowhere holds no finished data set"),
        ({"dataset_dir": ""}, r'parameter "dataset-dir" is missing'),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(
    request_for: MakeRequest, builtin_dataset: Path, parameters: dict[str, str], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        train_job.main(request_for("train", **{"dataset_dir": str(builtin_dataset), **parameters}))


TWO_NODES = DeviceGrant((GrantPiece("GPU", "n0", ("a", "b")), GrantPiece("GPU", "n1", ("c",))))


def job_on(grant: DeviceGrant, directory: Path, claims: str = "") -> Job:
    return Job(str(directory), "/data", Recipe(1e-3, 10, 0, 5), 8, 64, grant, "step.tune-1.l.training", claims)


def test_each_worker_is_pinned_to_the_node_that_has_its_device(request_for: MakeRequest, tmp_path: Path) -> None:
    scaling = train_job.trainer_for(job_on(TWO_NODES, tmp_path), 3, request_for("train")).scaling_config
    assert (scaling.num_workers, scaling.use_gpu) == (3, True)
    assert scaling.resources_per_worker == {"CPU": 1.0, "GPU": 1.0}
    assert scaling.label_selector == [{"ray.io/node-id": node} for node in ("n0", "n0", "n1")]


def test_there_are_as_many_workers_as_devices_were_granted_and_not_as_were_asked_for(
    request_for: MakeRequest, builtin_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training was evicted, and starts again with fewer devices than it would like."""
    asked = request_for("train", dataset_dir=str(builtin_dataset), gpu_count="4", batch_size="32")
    seen: list[int] = []

    class Stopped:
        def __init__(self, job: Job, workers: int, request: StepRequest) -> None:
            seen.append(workers)

        def fit(self) -> None:
            """Ends without a model, as workers do that were told to stop."""

    monkeypatch.setattr(train_job, "trainer_for", Stopped)
    with pytest.raises(Evicted, match="stopped at a checkpoint"):
        train_job.main(replace(asked, grant=TWO_NODES))
    assert seen == [3]


def test_workers_that_would_get_different_devices_are_refused() -> None:
    mixed = DeviceGrant((GrantPiece("GPU", "n0", ("a",)), GrantPiece("sim-gpu", "n1", ("SIM-n1-0",))))
    with pytest.raises(ValueError, match="the lease gives a worker 1 GPU and 1 sim-gpu; expected the same of each"):
        train_job.amounts_of(mixed)


def test_a_worker_takes_its_share_of_the_cores_and_one_core_where_none_were_asked() -> None:
    assert train_job.amounts_of(DeviceGrant((GrantPiece("n", "n0", (), 1000),))) == {"CPU": 1.0}
    pieces = [GrantPiece("GPU", node, ("a", "b"), cpu=3000) for node in ("n0", "n1")]
    assert train_job.amounts_of(DeviceGrant(tuple(pieces))) == {"CPU": 1.5, "GPU": 1.0}


def test_workers_of_one_node_claim_a_device_each_and_compute_on_the_cpu_where_it_is_simulated(tmp_path: Path) -> None:
    pieces = (GrantPiece("sim-gpu", "n0", ("SIM-n0-0", "SIM-n0-1")), GrantPiece("sim-gpu", "n1", ("SIM-n1-0",)))
    job = job_on(DeviceGrant(pieces), tmp_path, str(tmp_path / "claims"))
    assert [claim_device(job, "n0") for _ in range(2)] == [torch.device("cpu")] * 2
    assert [one.device for one in claims_in(Path(job.claims))] == ["SIM-n0-0", "SIM-n0-1"]
    with pytest.raises(ValueError, match="has no devices on this node"):
        claim_device(job, "n2")


def test_without_a_device_one_computes_on_the_cpu() -> None:
    assert computing_device(None) == computing_device(DeviceGrant()) == torch.device("cpu")
    assert computing_device(TWO_NODES) == torch.device("cuda", 0)


def test_the_gradient_of_a_step_is_the_same_for_any_number_of_workers(small: tuple[Any, Batches]) -> None:
    """DDP averages over workers; their shares of the batch need not be of one size."""
    tokenizer, _ = small
    examples = encode([ask(f"What is {number}?", str(number)) for number in range(20)], tokenizer)
    torch.manual_seed(0)
    objective = AnswerLoss(build_model(len(tokenizer), 64, tokenizer.pad_token_id, tokenizer.eos_token_id))

    def gradient(world: int) -> torch.Tensor:
        objective.zero_grad()
        for rank in range(world):
            batch = Batches(examples, size=4, seed=1, pad=tokenizer.pad_token_id, rank=rank, world=world).at(0)
            (objective(batch.ids, batch.labels) * (world / batch.learnt) / world).backward()
        return torch.cat([weight.grad.flatten() for weight in objective.parameters() if weight.grad is not None])

    alone = gradient(1)
    for world in (2, 3, 4):
        torch.testing.assert_close(gradient(world), alone, rtol=1e-4, atol=1e-6)


def test_the_learning_rate_rises_then_falls_to_a_twentieth() -> None:
    recipe = Recipe(1.0, 100, 0, 10)
    rates = [learning_rate_at(step, recipe) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.05, abs=0.01)


def test_a_trained_model_is_written_evaluated_and_not_evaluated_twice(
    small: tuple[Any, Batches], request_for: MakeRequest, tmp_path: Path
) -> None:
    tokenizer, _ = small
    rows = [ask(f"What is {number} plus one?", str(number + 1)) for number in (3, 7, 12, 18)]
    batches = Batches(encode(rows, tokenizer), size=4, seed=0, pad=tokenizer.pad_token_id)
    trained = train(
        lambda: build_model(len(tokenizer), 64, tokenizer.pad_token_id, tokenizer.eos_token_id),
        batches,
        Recipe(2e-3, 60, seed=0, checkpoint_every=60),
        tmp_path / "checkpoints",
        torch.device("cpu"),
        lambda _: None,
        lambda: False,
    )
    write_model(tmp_path / "model", trained.model, tokenizer)
    dataset = tmp_path / "data"
    dataset.mkdir()
    (dataset / HELDOUT_FILE).write_text("".join(f"{row.line()}\n" for row in [*rows, ask("?", "no")]))
    training = request_for("train")
    run_id = ensure_run(MlflowClient(training.mlflow_uri), training)
    request = request_for("evaluate", model_dir=str(tmp_path / "model"), dataset_dir=str(dataset), run_id=run_id)
    outputs = evaluate.main(request)
    told = [json.loads(line) for line in (Path(request.directory) / evaluate.PREDICTIONS).read_text().splitlines()]
    assert outputs["total"] == str(len(told)) == "5"
    assert outputs["correct"] == str(sum(one["right"] for one in told))
    assert outputs["accuracy"] == f"{int(outputs['correct']) / 5:.4f}"
    assert int(outputs["correct"]) >= 3
    assert evaluate.main(request) == outputs
    metrics = MlflowClient(training.mlflow_uri).get_run(run_id).data.metrics
    assert metrics["heldout_accuracy"] == pytest.approx(float(outputs["accuracy"]), abs=1e-4)


def test_a_model_directory_is_what_transformers_and_vllm_expect(small: tuple[Any, Batches], tmp_path: Path) -> None:
    tokenizer, _ = small
    directory = tmp_path / "model"
    write_model(
        directory,
        build_model(len(tokenizer), 64, tokenizer.pad_token_id, tokenizer.eos_token_id),
        tokenizer,
    )
    config = json.loads((directory / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["max_position_embeddings"] >= 256
    assert config["hidden_size"] // config["num_attention_heads"] == 64
    loaded = AutoTokenizer.from_pretrained(str(directory))
    assert loaded.eos_token_id == config["eos_token_id"]
    assert loaded.is_fast
    text = loaded.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>hi<|end|><|assistant|>"
    generation = AutoModelForCausalLM.from_pretrained(str(directory)).generation_config
    assert generation.eos_token_id == config["eos_token_id"]
    assert json.loads((directory / "tokenizer_config.json").read_text())["chat_template"]
