"""What every test of an index starts with."""

from __future__ import annotations

import faiss
import pytest

from actors.vectors.indexes import device as real
from control.specs.vector_index import Device
from tests.actors.vectors.indexes.stand_in import StandIn


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads of OpenMP wait by spinning: on a machine with other work they slow each other down a hundredfold."""
    faiss.omp_set_num_threads(1)


@pytest.fixture(params=["cpu", "gpu"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Of the collection. Where there is a GPU it is that; elsewhere a stand-in with its rules takes its place."""
    asked: Device = request.param
    if asked == "gpu" and not real.present():
        StandIn().install(monkeypatch)
    return asked


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in, also where there is a GPU: it tells what it was asked."""
    made = StandIn()
    made.install(monkeypatch)
    return made
