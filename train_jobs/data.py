"""From chat rows to batches of tokens: which tokens a row has, which of them are learnt, who gets which rows.

The batch of step N is a function of (seed, N) alone, so a resumed run sees exactly the rows that an
uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from train_jobs.rows import Row

IGNORED = -100
WINDOW = 16  # batches sorted by length together: near-equal lengths in a batch, so little is spent on padding


@dataclass(frozen=True)
class Example:
    """One row as tokens. `learnt[i]` is True where token i is to be predicted (assistant text and its
    end)."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]


@dataclass(frozen=True)
class Batch:
    """One rank's share of one global batch.

    `ids` and `labels`: int64 `[rows, width]`, padded on the right; a label is the id of its own position, or
    -100 where nothing is learnt. `learnt` counts the labels of the whole global batch that are learnt, so
    that ranks can weigh their sums; `tokens` counts its unpadded tokens.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    learnt: int
    tokens: int


def encode(rows: Sequence[Row], tokenizer: Any) -> list[Example]:
    """Tokens of each row, exactly those of the tokenizer's chat template; only assistant turns are learnt."""
    contents = [turn.content for row in rows for turn in row.turns]
    encoded = iter(tokenizer(contents, add_special_tokens=False)["input_ids"] if contents else [])
    end = tokenizer.eos_token_id
    marks = {role: tokenizer.convert_tokens_to_ids(f"<|{role}|>") for role in ("system", "user", "assistant")}
    examples = []
    for row in rows:
        ids: list[int] = []
        learnt: list[bool] = []
        for turn in row.turns:
            content = next(encoded)
            ids += [marks[turn.role], *content, end]
            learnt += [False, *([turn.role == "assistant"] * (len(content) + 1))]
        examples.append(Example(tuple(ids), tuple(learnt)))
    return examples


class Batches:
    """Batches of `size` rows each, over as many epochs as asked for; rank r of w gets rows r, r+w, … of each.

    The rows run in a fresh order every epoch, and a batch may span two epochs, so every batch is full. The batch of a
    step has the same rows for any number of ranks; where their shares differ by a row nothing is lost, as ranks weigh
    their sums by the learnt labels of the whole batch.
    """

    def __init__(
        self, examples: Sequence[Example], *, size: int, seed: int, pad: int, rank: int = 0, world: int = 1
    ) -> None:
        if not examples:
            raise ValueError("the training set has no rows")
        if size < world:
            raise ValueError(f"batch-size {size} is too small for {world} workers: each needs a row")
        self._examples = examples
        self._size = size
        self._seed = seed
        self._pad = pad
        self._rank = rank
        self._world = world
        self._lengths = np.array([len(example.ids) for example in examples])
        self._window = -1
        self._window_rows = np.empty((0, size), dtype=np.int64)

    def at(self, step: int) -> Batch:
        """This rank's share of the batch of `step` (from 0)."""
        return self._batch(self._rows_of(step))

    def _rows_of(self, step: int) -> np.ndarray[Any, Any]:
        """Indices of the rows of one global batch, longest last."""
        window, place = divmod(step, WINDOW)
        if window != self._window:
            self._window, self._window_rows = window, self._shuffle(window)
        chosen: np.ndarray[Any, Any] = self._window_rows[place]
        return chosen

    def _shuffle(self, window: int) -> np.ndarray[Any, Any]:
        """Row indices `[WINDOW, size]` of the batches of one window, each batch sorted by length."""
        span = WINDOW * self._size
        count = len(self._examples)
        places = np.arange(window * span, (window + 1) * span)
        epochs = {
            int(epoch): np.random.default_rng((self._seed, int(epoch))).permutation(count)
            for epoch in np.unique(places // count)
        }
        rows = np.array([epochs[int(at // count)][at % count] for at in places])
        rows = rows[np.argsort(self._lengths[rows], kind="stable")].reshape(WINDOW, self._size)
        order = np.random.default_rng((self._seed, window, WINDOW)).permutation(WINDOW)
        shuffled: np.ndarray[Any, Any] = rows[order]
        return shuffled

    def _batch(self, chosen: np.ndarray[Any, Any]) -> Batch:
        whole = [self._examples[int(row)] for row in chosen]
        mine = whole[self._rank :: self._world]
        width = max(len(example.ids) for example in mine)
        ids = torch.full((len(mine), width), self._pad, dtype=torch.int64)
        labels = torch.full((len(mine), width), IGNORED, dtype=torch.int64)
        for at, example in enumerate(mine):
            row = torch.tensor(example.ids)
            ids[at, : len(row)] = row
            labels[at, : len(row)] = torch.where(torch.tensor(example.learnt), row, IGNORED)
        # The first token of a row has nothing before it to be predicted from.
        learnt = sum(sum(example.learnt[1:]) for example in whole)
        return Batch(ids, labels, learnt=learnt, tokens=int(self._lengths[chosen].sum()))
