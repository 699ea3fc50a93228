"""The gateway's table: what the control plane wants of it, and the last good copy of that.

The control plane publishes; `TableHolder` re-reads. A failed or malformed read changes nothing (static
stability): requests go on with the last table. A crash leaves nothing behind; a new process reads again.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DEFAULT_MAX_BODY_BYTES = 1 << 20
PERIOD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Arm:
    """One version of a model and its share of the traffic; `url` is the version's route, without `/v1`."""

    version: str
    weight: float
    url: str


@dataclass(frozen=True, slots=True)
class Key:
    name: str


@dataclass(frozen=True, slots=True)
class Table:
    """`models` by served name; `keys` by lower-case sha256 hex digest of the client's key."""

    version: int
    models: dict[str, tuple[Arm, ...]]
    keys: dict[str, Key]
    max_body_bytes: int


def parse_table(raw: bytes) -> Table:
    """The table in `raw`. Raises ValueError, KeyError, TypeError or AttributeError where it is not one."""
    document: dict[str, Any] = json.loads(raw)
    models = {
        name: tuple(Arm(str(arm["version"]), float(arm["weight"]), arm["url"].rstrip("/")) for arm in model["arms"])
        for name, model in document["models"].items()
    }
    keys = {digest.lower(): Key(str(key["name"])) for digest, key in document["keys"].items()}
    limit = int(document.get("max_body_bytes", DEFAULT_MAX_BODY_BYTES))
    return Table(int(document["version"]), models, keys, limit)


class TableHolder:
    """Holds the last good table and renews it every `period_s` seconds until `run` is cancelled.

    `read` may block (a file, a database, an actor call): it runs in a thread. It returns None
    where nothing was published yet.
    """

    def __init__(self, read: Callable[[], bytes | None], period_s: float = PERIOD_SECONDS) -> None:
        self.table: Table | None = None
        self._read = read
        self._raw: bytes | None = None
        self._period_s = period_s

    async def refresh(self) -> None:
        """Reads once. Never raises: whatever goes wrong, the last good table stays."""
        try:
            raw = await asyncio.to_thread(self._read)
            if raw is not None and raw != self._raw:
                self.table = parse_table(raw)
                self._raw = raw
        except Exception:  # the reader is given to us: any failure of it must leave the data path alone
            return

    async def run(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._period_s)
