"""The store on each of the databases that it may be on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from control.kernel.store import Store


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()
