"""Which process of this node uses which device: what keeps two workloads off one device whatever else goes wrong.

A worker claims the devices of its lease when it starts, before it touches them. A claim is a lock (flock) on one file
a device in a directory that all processes of the node share, on a local file system. The kernel lets go of it when the
process dies, however it dies, and all that it forked: nothing has to be cleaned up, and the files stay. A file's text
says who holds it, for people; only the lock counts.

The whole of a device, or of a MIG slice, is an exclusive lock on its file. Who takes a share (time-slicing) has a
shared lock on that file and an exclusive one on one of the device's slot files. Who takes a slice has a shared lock on
the file of its device too, so that nobody has the whole meanwhile; which device that is, the node's agent has noted in
a link beside the slice's file before anybody could be given the slice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from control.specs.inventory import SIMULATED_PREFIX, ClaimReport

_POLL_SECONDS = 0.02
_LEAST_PATIENCE_SECONDS = 0.1
"""Looking whether a file is locked locks it for a moment: no one is refused for that."""
_SLOT = ".slot"
_PARENT = ".parent"


class DeviceInUse(Exception):
    """Another process still holds a device; the message says which, who, and since when."""


@dataclass(frozen=True)
class Claim:
    """Devices that are held by this process until it dies or releases them."""

    devices: tuple[str, ...]
    _files: tuple[int, ...]

    def release(self) -> None:
        """Let go. To be called once."""
        for file in self._files:
            os.close(file)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def claim(directory: Path, uuids: Sequence[str], holder: str, *, shares: int = 1, wait_seconds: float = 30.0) -> Claim:
    """Hold the devices, as `hold` does, and show them, and only them, to CUDA in this process and its children.

    Simulated devices are held only.
    """
    held = hold(directory, uuids, holder, shares=shares, wait_seconds=wait_seconds)
    if not any(uuid.startswith(SIMULATED_PREFIX) for uuid in uuids):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(uuids)
    return held


def hold(directory: Path, uuids: Sequence[str], holder: str, *, shares: int = 1, wait_seconds: float = 0.0) -> Claim:
    """Lock all of the devices, or one of `shares` slots of each, or none of them.

    Waits for `wait_seconds` in all until former holders are dead. Raises DeviceInUse. The devices are taken in one
    order by everybody, slices last, so that two processes that want the same ones never wait for each other.
    """
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + max(wait_seconds, _LEAST_PATIENCE_SECONDS)
    about = json.dumps({"pid": os.getpid(), "holder": holder, "since": time.time()}).encode()
    files: list[int] = []
    parents = {uuid: parent for uuid in uuids if (parent := _parent(directory, uuid))}
    try:
        for uuid in sorted({*uuids, *parents.values()}, key=lambda one: (one in parents, one)):
            mine = uuid in uuids
            while not (taken := _try(directory, uuid, shares if mine else 0)):
                if time.monotonic() >= deadline:
                    raise DeviceInUse(_refusal(directory, uuid, wait_seconds))
                time.sleep(_POLL_SECONDS)
            files += taken
            if mine:
                os.ftruncate(taken[-1], 0)
                os.pwrite(taken[-1], about, 0)
    except BaseException:
        for file in files:
            os.close(file)
        raise
    return Claim(tuple(uuids), tuple(files))


def claims_in(directory: Path) -> tuple[ClaimReport, ...]:
    """Who holds what, by device."""
    found = (_read(path) for path in sorted(directory.glob("*")) if not path.is_symlink())
    return tuple(one for one in found if one is not None)


def note_slices(directory: Path, parents: Mapping[str, str]) -> None:
    """Note by the uuid of each slice on which device it is, for all who claim one from now on."""
    directory.mkdir(parents=True, exist_ok=True)
    for uuid, parent in parents.items():
        with contextlib.suppress(FileExistsError):  # a slice's uuid never moves to another device
            _link(directory, uuid).symlink_to(quote(parent, safe=""))


def forget(directory: Path, uuids: Sequence[str]) -> None:
    """Remove the files of slices that are gone for good. The caller holds them."""
    for uuid in uuids:
        path = _file(directory, uuid)
        for file in (path, _link(directory, uuid), *directory.glob(f"{path.name}{_SLOT}*")):
            file.unlink(missing_ok=True)


def _file(directory: Path, uuid: str) -> Path:
    return directory / quote(uuid, safe="")


def _link(directory: Path, uuid: str) -> Path:
    path = _file(directory, uuid)
    return path.with_name(f"{path.name}{_PARENT}")


def _parent(directory: Path, uuid: str) -> str:
    """The device that a slice is on; empty for what is not known to be a slice."""
    try:
        return unquote(os.readlink(_link(directory, uuid)))
    except FileNotFoundError:
        return ""


def _try(directory: Path, uuid: str, shares: int) -> list[int]:
    """The locked files, the one that says who holds it last; none when the device, or each of its slots, is taken.

    With 0 `shares` it is only kept from those who want the whole.
    """
    path = _file(directory, uuid)
    whole = _lock(path, fcntl.LOCK_EX if shares == 1 else fcntl.LOCK_SH)
    if whole is None or shares < 2:
        return [] if whole is None else [whole]
    try:
        for slot in range(shares):
            part = _lock(path.with_name(f"{path.name}{_SLOT}{slot}"), fcntl.LOCK_EX)
            if part is not None:
                return [whole, part]
    except BaseException:
        os.close(whole)
        raise
    os.close(whole)
    return []


def _lock(path: Path, kind: int) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    if (
        os.fstat(file).st_nlink == 0
    ):  # forgotten while this process waited for it: another one has or will have its name
        os.close(file)
        return _lock(path, kind)
    return file


def _read(path: Path) -> ClaimReport | None:
    """Who has the exclusive lock on a file; None when nobody has."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read()
        else:
            return None
    try:
        about = json.loads(text)
    except ValueError:
        about = {"holder": "", "pid": 0, "since": 0.0}  # it is being written
    name, slot, _ = path.name.partition(_SLOT)
    return ClaimReport(unquote(name), about["holder"], about["pid"], about["since"], shared=bool(slot))


def _refusal(directory: Path, uuid: str, waited: float) -> str:
    claims = claims_in(directory)
    holders = [_describe(one) for one in claims if uuid in (one.device, _parent(directory, one.device))]
    return f"{uuid} is held by {' and '.join(holders) or 'a process that has just gone'}; waited {waited:g} s for it"


def _describe(one: ClaimReport) -> str:
    if not one.pid:
        return "a process that has just taken it"
    since = datetime.fromtimestamp(one.since, UTC).isoformat(timespec="seconds")
    alive = Path(f"/proc/{one.pid}").exists()
    return f"{one.holder} (pid {one.pid}{'' if alive else ', gone, but not all that it forked'}) since {since}"
