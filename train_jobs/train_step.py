"""The model and its training loop, free of Ray: it runs under Ray Train, torchrun or in one process.

With a `torch.distributed` process group up, each rank works on its share of every batch and gradients are
averaged by DDP; without one, the single process does all of it. The loop's whole state is (model, optimizer,
step, clock, random generator), all of it in a checkpoint: training 20 steps, or 10 and then 10 more from the
checkpoint, gives the same weights bit for bit on one process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from transformers import LlamaConfig, LlamaForCausalLM

from train_jobs.checkpoint import Found, Progress, latest_good, restore, save
from train_jobs.data import IGNORED, Batch, Batches
from train_jobs.eviction import EvictionWatch

POSITIONS = 256  # the least context a served model has, whatever the training rows' length
CLIP = 1.0
WARMUP = 0.1
FLOOR = 0.05


@dataclass(frozen=True)
class Recipe:
    """How to train: the peak learning rate, optimizer steps in all, and steps between checkpoints."""

    learning_rate: float
    steps: int
    seed: int
    checkpoint_every: int
    report_every: int = 10


@dataclass(frozen=True)
class Reported:
    """What the loop tells while it runs: mean loss (nats a token) and unpadded tokens a second since the last
    one."""

    step: int
    loss: float
    tokens_per_second: float
    learning_rate: float


@dataclass(frozen=True)
class Trained:
    """What the loop leaves: the model (not wrapped, on its device), where it got to, and what it noticed.

    `evicted`: it stopped before the last step, at a checkpoint.
    """

    model: Any
    progress: Progress
    warnings: tuple[str, ...]
    evicted: bool = False


def build_model(vocabulary: int, max_length: int, pad: int, end: int) -> Any:
    """A Llama, 1.9 million weights at 3,072 tokens; heads are 64 wide, as vLLM's CPU kernels want."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=max(POSITIONS, max_length),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    return LlamaForCausalLM(config)


class AnswerLoss(torch.nn.Module):
    """Wraps the model: `forward` returns the summed loss, with logits only where something is learnt."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Sum of the cross-entropy over learnt labels (nats, scalar); `ids` and `labels` are int64 `[rows,
        width]`."""
        # Rows are padded on the right and attention is causal, so no learnt token can see padding: no mask
        # needed.
        hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
        wanted = labels[:, 1:]
        at = wanted != IGNORED
        logits = self.model.lm_head(hidden[:, :-1][at])
        return F.cross_entropy(logits.float(), wanted[at], reduction="sum")


def learning_rate_at(step: int, recipe: Recipe) -> float:
    """Linear warm-up over the first 10 % of steps, then a cosine down to 5 % of the peak at the last step."""
    warm = max(1, round(recipe.steps * WARMUP))
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, recipe.steps - warm)
    return recipe.learning_rate * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def optimizer_for(model: Any, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    matrices = [weight for weight in model.parameters() if weight.ndim >= 2]
    vectors = [weight for weight in model.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95))


def train(
    build: Callable[[], Any],
    batches: Batches,
    recipe: Recipe,
    checkpoints: Path,
    device: torch.device,
    report: Callable[[Reported], None],
    evicted: Callable[[], bool],
) -> Trained:
    """Trains to `recipe.steps`, from the last good checkpoint under `checkpoints` if there is one.

    Rank 0 calls `report` every `report_every` steps and at the end, and it alone writes checkpoints; a crash
    loses at most `checkpoint_every` steps. When `evicted`, which rank 0 asks about once a second, all ranks stop
    after the same step, with a checkpoint. Another number of ranks may go on from it: the batches are the same.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    torch.manual_seed(recipe.seed)
    model = build().to(device).train()
    optimizer = optimizer_for(model, recipe)
    found = _agree(latest_good(checkpoints) if rank == 0 else None)
    progress = restore(found.path, model, optimizer) if found.path else Progress()
    objective = AnswerLoss(model)
    wrapped = DistributedDataParallel(objective) if world > 1 else objective
    loss_sum = torch.zeros((), device=device)
    learnt, tokens, since = 0, 0, time.monotonic()
    watch = EvictionWatch(evicted, progress.step, device)
    for step in range(progress.step, recipe.steps):
        batch = batches.at(step)
        rate = learning_rate_at(step, recipe)
        loss_sum += _advance(wrapped, optimizer, batch, rate, world, device)
        learnt, tokens = learnt + batch.learnt, tokens + batch.tokens
        done = step + 1
        if done % recipe.report_every == 0 or done == recipe.steps:
            mean = _over_ranks(loss_sum, world) / learnt
            passed = time.monotonic() - since
            progress = Progress(done, mean, progress.seconds + passed)
            if rank == 0:
                report(Reported(done, mean, tokens / passed, rate))
            loss_sum.zero_()
            learnt, tokens, since = 0, 0, time.monotonic()
        stop = done < recipe.steps and watch.stops(done)
        if rank == 0 and (stop or done % recipe.checkpoint_every == 0 or done == recipe.steps):
            save(checkpoints, model, optimizer, Progress(done, progress.loss, progress.seconds))
        if stop:
            return Trained(model, progress, found.warnings, evicted=True)
    return Trained(model, progress, found.warnings)


def _advance(
    wrapped: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rate: float,
    world: int,
    device: torch.device,
) -> torch.Tensor:
    """One optimizer step at `rate`; returns this rank's summed loss before it (nats, detached)."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        loss: torch.Tensor = wrapped(batch.ids.to(device), batch.labels.to(device))
    # DDP averages over ranks: times `world` over the global count makes that the mean over the global batch.
    (loss * (world / batch.learnt)).backward()
    torch.nn.utils.clip_grad_norm_(wrapped.parameters(), CLIP)
    optimizer.step()
    return loss.detach()


def _over_ranks(value: torch.Tensor, world: int) -> float:
    """The sum of a scalar over all ranks."""
    total = value.clone()
    if world > 1:
        dist.all_reduce(total)
    return float(total)


def _agree(found: Found | None) -> Found:
    """Rank 0's choice of checkpoint, on every rank: ranks that start at different steps never meet."""
    chosen: list[Found | None] = [found]
    if dist.is_initialized():
        dist.broadcast_object_list(chosen, src=0)
    (agreed,) = chosen
    if agreed is None:
        raise RuntimeError("rank 0 chose no checkpoint to start from")
    return agreed
