"""What every test of an index starts with."""

from __future__ import annotations

import faiss
import pytest


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads of OpenMP wait by spinning: on a machine with other work they slow each other down a hundredfold."""
    faiss.omp_set_num_threads(1)
