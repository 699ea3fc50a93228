"""How all workers of a training job stop after the same step when the job's devices are wanted back."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.distributed as dist

LOOK_SECONDS = 1.0


class EvictionWatch:
    """Rank 0 asks `evicted` about once a second; no other rank does.

    How many steps that is, it measures, and tells the others together with the answer: all ranks meet for it after the
    same steps, and the steps between cost nothing.
    """

    def __init__(self, evicted: Callable[[], bool], step: int, device: torch.device) -> None:
        self._evicted = evicted
        self._device = device
        self._looked_at = step
        self._looked = time.monotonic()
        self._next = step + 1

    def stops(self, step: int) -> bool:
        """Whether to stop after `step`. Every rank must ask after every step, and gets the same answer."""
        if step < self._next:
            return False
        stop, self._next = self._agree(step)
        self._looked_at, self._looked = step, time.monotonic()
        return bool(stop)

    def _agree(self, step: int) -> tuple[int, int]:
        """Rank 0's answer, and the step after which it looks again."""
        passed = step - self._looked_at
        pace = passed / max(time.monotonic() - self._looked, 1e-6)  # steps a second
        # At most twice as many as before: the first steps, or some fast ones, say little about those to come.
        gap = max(1, min(round(pace * LOOK_SECONDS), 2 * passed))
        rank = dist.get_rank() if dist.is_initialized() else 0
        said = torch.tensor([int(rank == 0 and self._evicted()), step + gap], device=self._device)
        if dist.is_initialized():
            dist.broadcast(said, src=0)
        stop, following = said.tolist()
        return stop, following
