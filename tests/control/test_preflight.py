"""What is refused before anything is started, and what to do about it."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.kernel.home import Home
from control.kernel.recover import MARK
from control.preflight import Refused, check_state_directory, choose_port, make_private

LISTEN = """\
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True); sys.stdin.read()
"""


def listener(**environment: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.fixture
def taken(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process, port = listener(**getattr(request, "param", {}))
    yield process, port
    process.communicate()


@pytest.mark.parametrize("path", ["/dev/null/x", "/dev/null"])
def test_a_state_directory_that_cannot_be_made_is_refused_with_the_way_out(path: str) -> None:
    with pytest.raises(Refused, match=f"the state directory {path} cannot be written: .*set BIPLANE_HOME to another"):
        check_state_directory(Home(Path(path)))


def test_a_disk_that_is_nearly_full_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10 << 30, 9 << 30, 1 << 30))
    with pytest.raises(Refused, match=r"1\.0 GiB free, 2 GiB are needed"):
        check_state_directory(Home(tmp_path))


def test_a_good_state_directory_is_made_and_left_empty(tmp_path: Path) -> None:
    check_state_directory(Home(tmp_path / "new"))
    assert list((tmp_path / "new").iterdir()) == []


def test_a_free_port_is_chosen_when_none_is_wanted() -> None:
    port = choose_port("gateway port", 0, "p")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_a_wanted_port_that_is_free_is_taken_as_it_is() -> None:
    free = choose_port("gateway port", 0, "p")
    assert choose_port("gateway port", free, "p") == free


def test_a_taken_port_is_refused_with_its_owner(taken: tuple[subprocess.Popen[str], int]) -> None:
    process, port = taken
    with pytest.raises(Refused) as refusal:
        choose_port("gateway port", port, "p")
    assert f"port {port} (gateway port) is taken by process {process.pid} (" in str(refusal.value)
    assert str(refusal.value).endswith("; name another one under spec.ports of the cluster file")


@pytest.mark.parametrize("taken", [{MARK: "p"}], indirect=True)
def test_a_port_of_this_plane_says_how_to_end_it(taken: tuple[subprocess.Popen[str], int]) -> None:
    with pytest.raises(Refused, match="of this plane; end it with: biplane down"):
        choose_port("gateway port", taken[1], "p")


@pytest.mark.parametrize("taken", [{MARK: "q", "BIPLANE_HOME": "/their/plane"}], indirect=True)
def test_a_port_of_another_plane_says_which(taken: tuple[subprocess.Popen[str], int]) -> None:
    with pytest.raises(Refused, match=r"of another Biplane plane \(/their/plane\)"):
        choose_port("gateway port", taken[1], "p")


def test_a_private_directory_can_be_entered_by_its_owner_only(tmp_path: Path) -> None:
    make_private(tmp_path / "run")
    make_private(tmp_path / "run")
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
