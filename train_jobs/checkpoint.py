"""Training checkpoints: a directory a step number, trusted only by its receipt.

A checkpoint is made in a directory of another name and renamed when its receipt is written, so a crash leaves
at worst a `.making-*` directory, which the next save sweeps away. A checkpoint that was damaged afterwards is
named and passed over for the one before it, which is why the last two are kept.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from actors.durable import sync, write_atomically
from train_jobs.receipt import read_receipt, write_receipt

KEPT = 2
MODEL, OPTIMIZER, PROGRESS = "model.safetensors", "optimizer.pt", "progress.json"
_DONE, _MAKING = "step-", ".making-"


@dataclass(frozen=True)
class Progress:
    """Where training stands: optimizer steps done, the last reported mean loss (nats a token), seconds
    spent."""

    step: int = 0
    loss: float = float("nan")
    seconds: float = 0.0


@dataclass(frozen=True)
class Found:
    """The newest checkpoint that verifies (None: start from nothing), and one sentence for each one passed
    over."""

    path: Path | None
    warnings: tuple[str, ...] = ()


def save(directory: Path, model: Any, optimizer: torch.optim.Optimizer, progress: Progress) -> Path:
    """Writes the checkpoint of `progress.step` under `directory` and drops all but the last two; returns its
    path."""
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(f"{_MAKING}*"):
        shutil.rmtree(leftover)
    making = directory / f"{_MAKING}{progress.step:08d}-{os.getpid()}"
    making.mkdir()
    # Tied weights share memory, which safetensors refuses: each storage is written once, restore ties it
    # again.
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters()}
    save_file(tensors, making / MODEL)
    torch.save({"optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}, making / OPTIMIZER)
    write_atomically(making / PROGRESS, json.dumps(asdict(progress)))
    write_receipt(making, {"step": str(progress.step)})
    final = directory / f"{_DONE}{progress.step:08d}"
    if final.exists():
        shutil.rmtree(final)
    making.rename(final)
    sync(directory)
    for old in sorted(directory.glob(f"{_DONE}*"))[:-KEPT]:
        shutil.rmtree(old)
    return final


def latest_good(directory: Path) -> Found:
    """The newest checkpoint whose files are all as its receipt says; damaged ones are named, never
    deleted."""
    warnings = []
    for path in sorted(directory.glob(f"{_DONE}*"), reverse=True):
        try:
            read_receipt(path)
        except ValueError as damage:
            warnings.append(f"checkpoint {path.name} was passed over: {damage}")
        else:
            return Found(path, tuple(warnings))
    return Found(None, tuple(warnings))


def restore(path: Path, model: Any, optimizer: torch.optim.Optimizer) -> Progress:
    """Loads a verified checkpoint into `model`, `optimizer` and torch's random generator."""
    weights = load_file(path / MODEL)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    state = torch.load(path / OPTIMIZER, weights_only=True, map_location="cpu")
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return Progress(**json.loads((path / PROGRESS).read_text(encoding="utf-8")))
