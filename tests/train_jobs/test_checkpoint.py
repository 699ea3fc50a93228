"""What training can lose when a machine dies at a bad moment, and what it must say about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from train_jobs.checkpoint import MODEL, OPTIMIZER, Progress, latest_good, save
from train_jobs.data import Batches
from train_jobs.receipt import RECEIPT
from train_jobs.train_step import Recipe, Reported, Trained, build_model, optimizer_for, train


def run(
    small: tuple[Any, Batches],
    directory: Path,
    steps: int,
    every: int = 10,
    evicted: Callable[[], bool] = lambda: False,
) -> Trained:
    """Trains to the stop at `steps` of a schedule of 20."""
    tokenizer, batches = small
    recipe = Recipe(1e-3, 20, seed=5, checkpoint_every=every, report_every=5)
    told: list[Reported] = []

    def stop(report: Reported) -> None:
        told.append(report)
        if report.step == steps + 5:
            raise KeyboardInterrupt

    return train(
        lambda: build_model(len(tokenizer), 64, tokenizer.pad_token_id, tokenizer.eos_token_id),
        batches,
        recipe,
        directory,
        torch.device("cpu"),
        stop,
        evicted,
    )


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}


@pytest.fixture(scope="session")
def twenty(small: tuple[Any, Batches], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """Twenty steps without a break: the checkpoints, which no test may touch, and what came of it."""
    directory = tmp_path_factory.mktemp("twenty")
    return directory, run(small, directory, 20)


@pytest.fixture
def checkpoints(twenty: tuple[Path, Trained], tmp_path: Path) -> Path:
    """A copy of the checkpoints of twenty steps, to be damaged."""
    return shutil.copytree(twenty[0], tmp_path / "checkpoints")


def test_ten_steps_and_ten_more_from_the_checkpoint_equal_twenty_bit_for_bit(
    small: tuple[Any, Batches], twenty: tuple[Path, Trained], tmp_path: Path
) -> None:
    whole = weights(twenty[1])
    with pytest.raises(KeyboardInterrupt):
        run(small, tmp_path / "parts", 10)
    assert latest_good(tmp_path / "parts").path == tmp_path / "parts" / "step-00000010"
    resumed = run(small, tmp_path / "parts", 20)
    assert resumed.progress.step == 20
    for name, tensor in weights(resumed).items():
        assert torch.equal(tensor, whole[name]), name


def test_training_that_is_evicted_stops_at_a_checkpoint_and_goes_on_from_it_bit_for_bit(
    small: tuple[Any, Batches], twenty: tuple[Path, Trained], tmp_path: Path
) -> None:
    stopped = run(small, tmp_path, 20, evicted=lambda: True)
    assert stopped.evicted
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    again = run(small, tmp_path, 20, evicted=lambda: True)
    assert again.evicted
    assert latest_good(tmp_path).path == tmp_path / "step-00000002"
    resumed = run(small, tmp_path, 20)
    assert (resumed.evicted, resumed.progress.step) == (False, 20)
    whole = weights(twenty[1])
    for name, tensor in weights(resumed).items():
        assert torch.equal(tensor, whole[name]), name


def test_a_finished_training_starts_again_with_nothing_to_do(
    small: tuple[Any, Batches], twenty: tuple[Path, Trained], checkpoints: Path
) -> None:
    assert run(small, checkpoints, 20).progress == twenty[1].progress


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER])
def test_a_truncated_file_is_named_and_the_checkpoint_before_it_is_used(
    small: tuple[Any, Batches], checkpoints: Path, name: str
) -> None:
    """The disk filled up while the last checkpoint was copied: one of its files ends too early."""
    damaged = checkpoints / "step-00000020" / name
    damaged.write_bytes(damaged.read_bytes()[:-100])
    found = latest_good(checkpoints)
    assert found.path == checkpoints / "step-00000010"
    (warning,) = found.warnings
    assert f"step-00000020/{name} has" in warning
    assert run(small, checkpoints, 20).warnings == (warning,)


def test_a_flipped_byte_is_noticed(checkpoints: Path) -> None:
    damaged = checkpoints / "step-00000020" / MODEL
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    assert "SHA-256 differs" in latest_good(checkpoints).warnings[0]


@pytest.mark.parametrize("content", [None, "", '{"outputs": {}'])
def test_a_checkpoint_without_a_readable_receipt_does_not_count(checkpoints: Path, content: str | None) -> None:
    receipt = checkpoints / "step-00000020" / RECEIPT
    receipt.unlink()
    if content is not None:
        receipt.write_text(content, encoding="utf-8")
    found = latest_good(checkpoints)
    assert found.path == checkpoints / "step-00000010"
    assert "step-00000020" in found.warnings[0]


def test_with_no_good_checkpoint_training_starts_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "step-00000010").mkdir()
    found = latest_good(tmp_path)
    assert found.path is None
    assert "no receipt" in found.warnings[0]


def test_the_last_two_are_kept_and_what_a_crash_left_half_made_is_swept(
    small: tuple[Any, Batches], tmp_path: Path
) -> None:
    tokenizer, _ = small
    model = build_model(len(tokenizer), 64, tokenizer.pad_token_id, tokenizer.eos_token_id)
    optimizer = optimizer_for(model, Recipe(1e-3, 20, 0, 10))
    (tmp_path / ".making-00000001-77").mkdir()
    for step in (1, 2, 3):
        save(tmp_path, model, optimizer, Progress(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
