"""The plane's secrets: shown once, readable by one, stored as a hash."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from control.kernel.home import Home
from control.kernel.store import Store
from control.keys import ensure_api_key, ensure_secrets


def test_the_api_key_is_stored_only_as_its_hash(tmp_path: Path) -> None:
    home = Home(tmp_path)
    store = Store(home.store_url)
    key = ensure_api_key(home, store, now=1.0)
    assert key is not None
    (found,) = store.list("ApiKey")
    assert found.spec == {"sha256": hashlib.sha256(key.encode()).hexdigest()}
    store.close()
    for file in tmp_path.glob("biplane.db*"):
        assert key.encode() not in file.read_bytes()


def test_the_key_is_shown_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    store = Store(home.store_url)
    key = ensure_api_key(home, store, now=1.0)
    assert home.api_key_file.read_text() == f"{key}\n"
    assert stat.S_IMODE(home.api_key_file.stat().st_mode) == 0o600
    assert ensure_api_key(home, store, now=2.0) is None
    assert home.api_key_file.read_text() == f"{key}\n"


def test_a_crash_between_the_file_and_the_store_leaves_a_key_that_is_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path)
    lost = ensure_api_key(home, Store("sqlite://"), now=1.0)
    store = Store(home.store_url)
    key = ensure_api_key(home, store, now=2.0)
    assert key is not None
    assert key != lost
    assert home.api_key_file.read_text() == f"{key}\n"
    (found,) = store.list("ApiKey")
    assert found.spec["sha256"] == hashlib.sha256(key.encode()).hexdigest()


def test_the_other_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    home = Home(tmp_path)
    files = (home.internal_key_file, home.ray_token_file)
    ensure_secrets(home)
    first = [file.read_text() for file in files]
    ensure_secrets(home)
    assert [file.read_text() for file in files] == first
    assert len(set(first)) == 2
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
