"""A small finished data set and trained model, made once; requests as the runner would make them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from control.specs.step import StepRequest
from train_jobs import prepare
from train_jobs.data import Batches, encode
from train_jobs.rows import Row, ask, read_rows
from train_jobs.tokens import load_tokenizer, train_tokenizer

MakeRequest = Callable[..., StepRequest]


# Models this small are slower on several threads than on one, most of all beside other tests.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with nothing in it: making its tables takes seconds, copying them does not."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def request_for(tmp_path: Path, empty_mlflow: Path) -> MakeRequest:
    """Builds requests of one run; each task has its own directory and every request the same MLflow store."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")

    def build(task: str, key: str = "", **parameters: str) -> StepRequest:
        directory = tmp_path / task
        directory.mkdir(exist_ok=True)
        return StepRequest(
            run="run-1",
            task=task,
            template=task,
            key=key or f"run-1/{task}",
            directory=str(directory),
            mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db",
            experiment="tests",
            parameters={name.replace("_", "-"): value for name, value in parameters.items()},
        )

    return build


@pytest.fixture(scope="session")
def builtin_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("builtin")
    prepare.main(StepRequest("run-0", "prepare", "prepare", "run-0/prepare", str(directory), "", ""))
    return directory


@pytest.fixture(scope="session")
def builtin_train(builtin_dataset: Path) -> list[Row]:
    return list(read_rows(builtin_dataset / prepare.TRAIN_FILE))


@pytest.fixture(scope="session")
def builtin_heldout(builtin_dataset: Path) -> list[Row]:
    return list(read_rows(builtin_dataset / prepare.HELDOUT_FILE))


@pytest.fixture(scope="session")
def builtin_tokenizer(builtin_dataset: Path) -> Any:
    return load_tokenizer(str(builtin_dataset))


@pytest.fixture(scope="session")
def small() -> tuple[Any, Batches]:
    """A tokenizer of 300 tokens and batches of four rows out of twenty."""
    rows = [ask(f"What is {number} plus one?", str(number + 1)) for number in range(20)]
    tokenizer = train_tokenizer((turn.content for row in rows for turn in row.turns), vocabulary=300)
    return tokenizer, Batches(encode(rows, tokenizer), size=4, seed=0, pad=tokenizer.pad_token_id)
