"""Receipts: what a finished directory holds, written last, so that a receipt that verifies proves the rest.

A crash before the receipt leaves a directory without one, which counts as not there; a file that was cut
short or changed afterwards no longer matches its size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from actors.durable import sync, write_atomically

RECEIPT = "receipt.json"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as found:
        return hashlib.file_digest(found, "sha256").hexdigest()


def write_receipt(directory: Path, outputs: dict[str, str], files: list[str] | None = None) -> None:
    """Vouches for `files` (names inside `directory`; by default every file under it) and what was made of
    them.

    Every file is fsynced first; the receipt comes last and appears whole or not at all.
    """
    names = files if files is not None else _files_under(directory)
    described: dict[str, dict[str, int | str]] = {}
    for name in names:
        sync(directory / name)
        described[name] = {"bytes": (directory / name).stat().st_size, "sha256": sha256_of(directory / name)}
    write_atomically(directory / RECEIPT, json.dumps({"outputs": outputs, "files": described}, indent=1))


def read_receipt(directory: Path) -> dict[str, str]:
    """The outputs that the receipt in `directory` vouches for.

    Raises ValueError naming what is wrong: no receipt, one that cannot be read, a file that is missing, has
    another size, or has other content.
    """
    path = directory / RECEIPT
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        outputs: dict[str, str] = receipt["outputs"]
        files: dict[str, dict[str, int | str]] = receipt["files"]
    except FileNotFoundError as error:
        raise ValueError(f"{directory.name} has no receipt: it was never finished") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"the receipt of {directory.name} cannot be read") from error
    for name, expected in files.items():
        file = directory / name
        if not file.is_file():
            raise ValueError(f"{directory.name}/{name} is missing")
        if file.stat().st_size != expected["bytes"]:
            raise ValueError(
                f"{directory.name}/{name} has {file.stat().st_size} bytes where its receipt says {expected['bytes']}"
            )
        if sha256_of(file) != expected["sha256"]:
            raise ValueError(f"{directory.name}/{name} is not the file its receipt describes (SHA-256 differs)")
    return outputs


def finished(directory: Path) -> dict[str, str] | None:
    """The outputs of a step that is done in `directory`, or None when it has still to be done."""
    try:
        return read_receipt(directory)
    except ValueError:
        return None


def _files_under(directory: Path) -> list[str]:
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return [str(path.relative_to(directory)) for path in found if path != directory / RECEIPT]
