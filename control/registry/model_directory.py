"""Reads what `control.registry.model_files` judges: a directory's listing, its JSON and the headers of its weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from control.registry.model_files import JSON_FILES, Header, Listing, parse_header

LONGEST_HEADER = 100_000_000
"""Bytes: the safetensors library refuses longer ones too."""


def read_listing(directory: Path) -> Listing:
    """What there is under `directory`; no weights are read. Raises NotADirectoryError, OSError."""
    if not directory.is_dir():
        raise NotADirectoryError(20, "there is no such directory", str(directory))
    files = {str(path.relative_to(directory)): path for path in sorted(directory.rglob("*")) if path.is_file()}
    return Listing(
        sizes={name: path.stat().st_size for name, path in files.items()},
        documents={name: _document(files[name]) for name in JSON_FILES if name in files},
        headers={name: _header(path) for name, path in files.items() if name.endswith(".safetensors")},
    )


def digests(directory: Path, names: tuple[str, ...]) -> dict[str, str]:
    """The SHA-256 of each file, in hex."""
    found = {}
    for name in names:
        with (directory / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return "not JSON"


def _header(path: Path) -> Header:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(LONGEST_HEADER, path.stat().st_size - 8):
            return Header(0, fault="it is no safetensors file, or was cut short")
        try:
            return parse_header(json.loads(file.read(length)), length + 8)
        except ValueError:
            return Header(0, fault="its header is not JSON")
