"""What must hold on this machine before anything is started; every refusal says what to do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from control.kernel.home import Home
from control.kernel.recover import MARK

FREE_BYTES = 2 << 30
"""Room for checkpoints, a model and logs of a first run."""


class Refused(Exception):
    """The plane cannot start; the text is for the person who asked."""


def check_state_directory(home: Home) -> None:
    """Raises Refused when the state directory cannot be made or written, or its disk is nearly full."""
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home.path) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
        free = shutil.disk_usage(home.path).free
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refused(
            f"the state directory {home.path} cannot be written: {reason}; set BIPLANE_HOME to another directory"
        ) from error
    if free < FREE_BYTES:
        raise Refused(
            f"the disk of {home.path} has {free / 2**30:.1f} GiB free, {FREE_BYTES / 2**30:.0f} GiB are needed;"
            " free some, or set BIPLANE_HOME to a directory on another disk"
        )


@contextlib.contextmanager
def exclusive(home: Home) -> Iterator[None]:
    """One `up` at a time on a state directory; the lock goes with the process that holds it."""
    with (home.path / "up.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_private(directory: Path) -> None:
    """A directory that only this user can enter. Raises Refused when somebody else made it first."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()  # a link would lead into somebody else's directory
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise Refused(f"{directory} belongs to another user; remove it")


CHOICE = range(10_240, 28_000)
"""Below the ports that kernels give to outgoing connections and to whoever asks for any (Linux: from 32,768 on) and
those that Serve gives to replicas (from 30,000): a port of those may be taken between the choice and its use."""


def choose_port(what: str, wanted: int, plane_id: str) -> int:
    """`wanted` if it is free, or any free one of `CHOICE` where it is 0. Raises Refused with the owner otherwise."""
    if wanted == 0:
        found = next((port for port in random.sample(CHOICE, len(CHOICE)) if _is_free(port)), None)
        if found is None:
            raise Refused(f"every port from {CHOICE[0]} to {CHOICE[-1]} is taken; name one for the {what}")
        return found
    if not _is_free(wanted):
        owner = _owner(wanted, plane_id)
        raise Refused(f"port {wanted} ({what}) is taken{owner}; name another one under spec.ports of the cluster file")
    return wanted


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))  # only looked at, never listened on; Ray listens on every interface
        except OSError:
            return False
        return True


def _owner(port: int, plane_id: str) -> str:
    """Who listens on `port`, as far as this user may see."""
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                break
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(connection.pid)
                who = f" by process {process.pid} ({process.name()})"
                mark = process.environ().get(MARK)
                if mark == plane_id:
                    return f"{who} of this plane; end it with: biplane down"
                return f"{who} of another Biplane plane ({process.environ().get('BIPLANE_HOME')})" if mark else who
    return ""
