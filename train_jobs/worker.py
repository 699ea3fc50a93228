"""What runs in each worker of a training job: claim a device, meet the other workers, train, write the model.

Everything a worker leaves is in the job's directory (see train); a worker that dies takes its process group
with it, and its claim, and Ray Train starts them all again. Workers that were told to stop leave a checkpoint and no
model.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.util
import torch
import torch.distributed as dist
from ray.train.backend import Backend
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import TorchConfig

from actors.claim_part import claim_part
from actors.durable import write_atomically
from control.specs.step import EVICT_FILE, PROGRESS_FILE, DeviceGrant
from train_jobs.data import Batches, encode
from train_jobs.model_dir import write_model
from train_jobs.prepare import TRAIN_FILE
from train_jobs.rows import read_rows
from train_jobs.tokens import load_tokenizer
from train_jobs.train_step import Recipe, Reported, build_model, train

METRICS, TRAINED, MODEL = "metrics.jsonl", "trained.json", "model"


@dataclass(frozen=True)
class Job:
    """What every worker of one training job needs to know; plain values, so that it travels well.

    Workers claim devices of the `grant`, for `workload`, in the directory `claims` of their node.
    """

    directory: str
    dataset: str
    recipe: Recipe
    batch_size: int
    max_length: int
    grant: DeviceGrant
    workload: str
    claims: str


class LeasedTorch(TorchConfig):
    """Ray Train's torch backend without its choice of devices, which are the lease's to choose.

    Ray's own set-up opens CUDA on the GPU ids Ray counted out, before the training function has a say; here
    the function claims its leased devices first and then brings the process group up itself.
    """

    @property
    def backend_cls(self) -> Any:
        return Backend

    @property
    def train_func_context(self) -> Any:
        return contextlib.nullcontext


def work(config: dict[str, Job]) -> None:
    """What each worker does: claim a device, meet the others, train, and on rank 0 write the model."""
    job = config["job"]
    directory = Path(job.directory)
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = claim_device(job, ray.get_runtime_context().get_node_id())
    meet(rank, world, "nccl" if device.type == "cuda" else "gloo")
    tokenizer = load_tokenizer(job.dataset)
    examples = encode(list(read_rows(Path(job.dataset) / TRAIN_FILE)), tokenizer)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    batches = Batches(examples, size=job.batch_size, seed=job.recipe.seed, pad=pad, rank=rank, world=world)
    trained = train(
        lambda: build_model(len(tokenizer), job.max_length, pad, end),
        batches,
        job.recipe,
        directory / "checkpoints",
        device,
        lambda told: tell(directory, told, job.recipe.steps),
        (directory / EVICT_FILE).exists,
    )
    if rank == 0 and not trained.evicted:
        write_model(directory / MODEL, trained.model, tokenizer)
        state = {**asdict(trained.progress), "warnings": trained.warnings}
        write_atomically(directory / TRAINED, json.dumps(state))
    dist.barrier()
    dist.destroy_process_group()


def claim_device(job: Job, node_id: str) -> torch.device:
    """The next free device that the lease has on this node: the one that this worker sees and computes on.

    Must run before anything opens CUDA in this process. Raises DeviceInUse.
    """
    here = [[uuid] for piece in job.grant.pieces if piece.node_id == node_id for uuid in piece.devices]
    if job.grant.devices:
        claim_part(Path(job.claims), here, job.workload)
    device = computing_device(job.grant)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def computing_device(grant: DeviceGrant | None) -> torch.device:
    """What to compute on for a process that has claimed its devices: of real ones, the first that it sees."""
    real = grant is not None and bool(grant.devices) and not grant.simulated
    return torch.device("cuda", 0) if real else torch.device("cpu")


def meet(rank: int, world: int, backend: str) -> None:
    """Brings up the process group; its store is on rank 0's node, at a port that was free a moment before."""
    address = broadcast_from_rank_zero(_free_address() if rank == 0 else None)
    dist.init_process_group(backend, init_method=f"tcp://{address}", rank=rank, world_size=world)


def _free_address() -> str:
    host = ray.util.get_node_ip_address()
    with socket.socket() as probe:
        probe.bind((host, 0))
        return f"{host}:{probe.getsockname()[1]}"


def tell(directory: Path, told: Reported, steps: int) -> None:
    """Adds one line that `tracking.MetricTail` will send on, and says how far the training is."""
    line = {
        "step": told.step,
        "at": time.time(),
        "loss": told.loss,
        "tokens_per_second": told.tokens_per_second,
        "learning_rate": told.learning_rate,
    }
    with (directory / METRICS).open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
    said = f"step {told.step} of {steps}, loss {told.loss:.3f}, {told.tokens_per_second:.0f} tokens/s\n"
    (directory / PROGRESS_FILE).write_text(said, encoding="utf-8")
