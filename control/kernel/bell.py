"""Wakes the control loops of this machine when something was committed.

Every loop listens on a datagram socket in one directory, and whoever commits sends a byte to all that are there. It
needs no Ray, so the command line rings too. A ring that is lost costs a poll's time: the loops look at the store
anyway, and on other machines that is all they do.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path


class Bell:
    """What one loop hears. A file that a dead listener left in the directory is harmless; its next life takes it."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / name).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(directory / name))

    def wait(self, seconds: float) -> None:
        """Until somebody rings, and no longer than `seconds`. All rings up to now count as one."""
        self._socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            self._socket.recv(1)
            self._socket.setblocking(False)
            while self._socket.recv(1):
                pass

    def ring_others(self) -> None:
        """Wake all loops but this one, which has just looked."""
        ring(self._directory, but=self._name)

    def close(self) -> None:
        self._socket.close()
        (self._directory / self._name).unlink(missing_ok=True)


def ring(directory: Path, *, but: str = "") -> None:
    """Wake every loop that listens in `directory`. Never raises and never waits."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for path in directory.iterdir():
            if path.name != but:
                # Nobody listens any more, or so many rang before that it is awake anyhow.
                with contextlib.suppress(OSError):
                    sender.sendto(b"!", str(path))
