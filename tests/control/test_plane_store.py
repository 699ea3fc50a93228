"""Which store a plane uses: kept once for all its processes, and never shown with its password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control.client import Client
from control.kernel.database import InvalidStoreUrl, Unavailable
from control.kernel.home import STORE_PASSWORD_VARIABLE, STORE_VARIABLE, Home
from control.kernel.plan import Create
from control.kernel.recover import MARK
from control.plane_store import open_store
from control.preflight import Refused
from control.services import plane_environment
from tests.fakes.home import SETTINGS
from tests.fakes.postgres import PASSWORD, PostgresServer

THING = Create(kind="Thing", name="one", event="Created", reason="test", spec={})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'elsewhere.db'}"


def test_a_store_that_was_chosen_is_the_one_of_every_later_process(home: Home, url: str) -> None:
    open_store(home, url).commit((THING,), who="test", now=1.0)
    SETTINGS.write(home)
    assert Home(home.path).store_url == url
    assert open_store(home, None).get("Thing", "one") is not None
    assert [o.name for o in Client(home).status().objects] == ["one"]
    assert Client(home).status().store == url


def test_without_a_choice_the_store_is_in_the_state_directory(home: Home) -> None:
    open_store(home, None).commit((THING,), who="test", now=1.0)
    assert (home.path / "biplane.db").exists()
    assert not home.store_file.exists()


def test_a_password_by_reference_is_kept_for_the_owner_only_and_not_shown(
    home: Home, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = postgres.new_schema()
    postgres.execute(f"GRANT ALL ON SCHEMA {schema} TO locked")
    monkeypatch.setenv(STORE_PASSWORD_VARIABLE, PASSWORD)
    store = open_store(home, postgres.tcp_url("locked", query=f"?options=-csearch_path%3D{schema}"))
    store.commit((THING,), who="test", now=1.0)
    monkeypatch.delenv(STORE_PASSWORD_VARIABLE)
    SETTINGS.write(home)
    status = Client(home).status()
    assert [o.name for o in status.objects] == ["one"]
    assert status.store.startswith("postgresql://locked:***@127.0.0.1")
    assert PASSWORD not in status.store
    assert home.store_file.stat().st_mode & 0o777 == 0o600
    store.close()


def test_what_cannot_be_opened_or_is_no_store_is_not_kept(home: Home) -> None:
    with pytest.raises(Unavailable):
        open_store(home, "postgresql://me@127.0.0.1:1/d")
    with pytest.raises(InvalidStoreUrl):
        open_store(home, "sqlite:///relative.db")
    assert not home.store_file.exists()


def test_a_plane_that_runs_keeps_its_store(home: Home, url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, MARK: home.plane_id}
    )
    try:
        with pytest.raises(Refused, match=r"runs on the store sqlite:///.*biplane down"):
            open_store(home, url)
        open_store(home, home.store_url)
    finally:
        process.kill()
        process.wait()
    open_store(home, url)


def test_no_process_of_the_plane_inherits_the_password(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (STORE_VARIABLE, STORE_PASSWORD_VARIABLE):
        monkeypatch.setenv(variable, "postgresql://me:s3cret@db/d")
    assert "s3cret" not in str(plane_environment(home, SETTINGS))
