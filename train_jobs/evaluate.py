"""The evaluation step: asks the model every held-out question and counts the answers that are exactly right.

Owns `predictions.jsonl` and, last, `receipt.json` in the request's directory. A crash leaves nothing that a
fresh start would not write again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM

from actors.durable import write_atomically
from control.specs.step import StepRequest
from train_jobs.parameters import Parameters
from train_jobs.prepare import HELDOUT_FILE
from train_jobs.receipt import finished, write_receipt
from train_jobs.rows import Row, read_rows
from train_jobs.tokens import load_tokenizer
from train_jobs.worker import computing_device

DEFAULTS = {"max-new-tokens": "32"}
PREDICTIONS = "predictions.jsonl"
AT_ONCE = 128


def main(request: StepRequest) -> dict[str, str]:
    """Evaluates `model-dir` on the held-out rows of `dataset-dir`; outputs accuracy (0 to 1), correct, total.

    Accuracy goes to the MLflow run `run-id` as a metric and a tag. Raises ValueError when there is no
    finished model or no held-out row.
    """
    directory = Path(request.directory)
    done = finished(directory)
    if done is not None:
        return done
    parameters = Parameters(request, DEFAULTS)
    model_dir, dataset = Path(parameters.text("model-dir")), Path(parameters.text("dataset-dir"))
    longest = parameters.whole("max-new-tokens", least=1)
    run_id = parameters.text("run-id")
    if finished(model_dir) is None:
        raise ValueError(f'parameter "model-dir": {model_dir} holds no finished model')
    rows = list(read_rows(dataset / HELDOUT_FILE))
    if not rows:
        raise ValueError(f'parameter "dataset-dir": {dataset} holds no held-out row')
    device = computing_device(request.grant)
    tokenizer = load_tokenizer(str(model_dir))
    model = AutoModelForCausalLM.from_pretrained(str(model_dir), dtype=torch.float32).to(device).eval()
    answers = generate(model, tokenizer, rows, longest, device)
    right = [answer.strip() == row.answer.strip() for answer, row in zip(answers, rows, strict=True)]
    lines = [
        json.dumps({"messages": row.prompt, "expected": row.answer, "answer": answer, "right": good})
        for row, answer, good in zip(rows, answers, right, strict=True)
    ]
    write_atomically(directory / PREDICTIONS, "\n".join(lines) + "\n")
    accuracy = sum(right) / len(rows)
    client = MlflowClient(request.mlflow_uri)
    client.log_metric(run_id, "heldout_accuracy", accuracy)
    client.set_tag(run_id, "biplane.accuracy", f"{accuracy:.4f}")
    outputs = {"accuracy": f"{accuracy:.4f}", "correct": str(sum(right)), "total": str(len(rows))}
    write_receipt(directory, outputs, files=[PREDICTIONS])
    return outputs


def generate(model: Any, tokenizer: Any, rows: list[Row], longest: int, device: torch.device) -> list[str]:
    """The model's answer to each row's prompt, taking the likeliest token each time, `longest` tokens at
    most."""
    prompts = [tokenizer.apply_chat_template(row.prompt, tokenize=False, add_generation_prompt=True) for row in rows]
    # Prompts of like length together: little is spent on padding.
    order = sorted(range(len(rows)), key=lambda at: len(prompts[at]))
    answers = [""] * len(rows)
    for first in range(0, len(order), AT_ONCE):
        chosen = order[first : first + AT_ONCE]
        asked = tokenizer(
            [prompts[at] for at in chosen], add_special_tokens=False, padding=True, return_tensors="pt"
        ).to(device)
        with torch.inference_mode():
            told = model.generate(
                input_ids=asked["input_ids"],
                attention_mask=asked["attention_mask"],
                max_new_tokens=longest,
                do_sample=False,
            )
        texts = tokenizer.batch_decode(told[:, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        for at, text in zip(chosen, texts, strict=True):
            answers[at] = text
    return answers
