"""The embedder gives a text the same vector whatever else is embedded with it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from actors.embedder import Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_a_text_has_the_same_vector_alone_and_among_others(embedder: Embedder) -> None:
    texts = ["How do I reset my password?", "yes", "word " * 500, "", "The kettle boils."] * 8
    together = embedder.embed(texts)
    assert together.shape == (40, 384)
    assert together.dtype == np.float32
    for text, vector in zip(texts[:5], together[:5], strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_texts_that_mean_the_same_are_near_each_other(embedder: Embedder) -> None:
    question, same, other = embedder.embed(
        ["How do I reset my password?", "I forgot my password, what now?", "The cat sleeps on the warm roof."]
    )
    assert question @ same > 0.6 > 0.2 > question @ other


def test_those_who_only_ask_it_do_not_load_pytorch() -> None:
    loaded = "import sys, actors.embedder; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"
