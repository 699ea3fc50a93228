"""How far the import of a file got: so many rows from its beginning are acknowledged.

There is one for each collection and file, replaced in one step. A crash leaves it a second old at most; what was
acknowledged since is sent again, which changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.durable import write_atomically


@dataclass(frozen=True)
class ImportReceipt:
    """Of the file whose content has the digest `sha256`; `last` is the id of the last row that is acknowledged."""

    sha256: str
    rows: int
    last: int | str | None = None

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(self)))


def load_receipt(path: Path) -> ImportReceipt | None:
    """None where there is none that can be read."""
    try:
        return ImportReceipt(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def receipt_path(directory: Path, collection: str, file: Path) -> Path:
    place = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    return directory / f"{collection}-{place}.json"


def digest_of(path: Path) -> str:
    """SHA-256, at about 1 GB/s."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
