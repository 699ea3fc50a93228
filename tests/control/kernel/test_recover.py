"""Ending what a plane left behind: every process with its mark, and none without.

The story: a plane was killed with `kill -9`; its children live on, under init, with nobody who knows their ids.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest

from control.kernel import recover
from control.kernel.recover import MARK, end_plane, processes_of

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def plane_id() -> str:
    return uuid.uuid4().hex[:10]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process with a mark."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(mark: str, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command or ("sleep", "60"), env={**os.environ, MARK: mark}, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_process_with_the_mark_is_found_and_ended(plane_id: str, start: Start) -> None:
    process = start(plane_id)
    assert [found.pid for found in processes_of(plane_id)] == [process.pid]
    assert end_plane(plane_id) == 1
    assert not psutil.pid_exists(process.pid)
    assert processes_of(plane_id) == []


def test_processes_of_other_planes_and_of_nobody_are_left_alone(plane_id: str, start: Start) -> None:
    others = [start("another-plane"), start(plane_id + "0"), start("")]
    assert end_plane(plane_id) == 0
    assert [other.poll() for other in others] == [None, None, None]


def test_it_never_ends_itself_nor_those_it_descends_from(plane_id: str, start: Start) -> None:
    code = "from control.kernel.recover import end_plane; import sys; print(end_plane(sys.argv[1]))"
    shell = start(plane_id, "sh", "-c", f'"{sys.executable}" -c "{code}" {plane_id}; echo the shell lives')
    output, _ = shell.communicate(timeout=60)
    assert output.decode().splitlines() == ["0", "the shell lives"]


def test_a_process_that_does_not_want_to_end_is_killed(
    plane_id: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover, "GRACE_SECONDS", 0.2)
    process = start(plane_id, "sh", "-c", "trap '' TERM; echo ready; while :; do read x </dev/zero; done")
    assert process.stdout is not None
    process.stdout.readline()
    assert end_plane(plane_id) >= 1
    assert not psutil.pid_exists(process.pid)


def test_without_a_process_there_is_nothing_to_end(plane_id: str) -> None:
    assert end_plane(plane_id) == 0
