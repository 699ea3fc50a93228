"""What the training and evaluation steps refuse before they take a device, and what a model directory holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.train_jobs.conftest import MakeRequest
from train_jobs import evaluate
from train_jobs import train as train_job
from train_jobs.data import Batches, encode
from train_jobs.model_dir import write_model
from train_jobs.prepare import HELDOUT_FILE
from train_jobs.rows import ask
from train_jobs.tracking import ensure_run
from train_jobs.train_step import Recipe, build_model, learning_rate_at, train


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
        ({"batch_size": "9", "gpu_count": "2"}, r"9 cannot be shared evenly by 2 workers"),
        ({"dataset_dir": "nowhere"}, r"nowhere holds no finished data set"),
        ({"dataset_dir": ""}, r'parameter "dataset-dir" is missing'),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(
    request_for: MakeRequest, builtin_dataset: Path, parameters: dict[str, str], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        train_job.main(request_for("train", **{"dataset_dir": str(builtin_dataset), **parameters}))


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
