"""The gateway's table: what the control plane wants of it, and the last good copy of that.

The control plane publishes; `TableHolder` re-reads. A failed or malformed read changes nothing (static
stability): requests go on with the last table. A crash leaves nothing behind; a new process reads again.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

DEFAULT_MAX_BODY_BYTES = 1 << 20
PERIOD_SECONDS = 1.0


class Sticky(Enum):
    """Whose requests stay with one arm of a model."""

    NOBODY = ""
    USER = "user"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Arm:
    """One version of a model and its share of the traffic; `url` is the version's route, without `/v1`.

    `app` is the application that serves it, under which its traffic is counted; `name` that of the arm in an A/B test.
    """

    version: str
    weight: float
    url: str
    app: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that gets copies of a `share` (0 to 1) of a model's requests, and whose answers nobody sees."""

    arm: Arm
    share: float


@dataclass(frozen=True, slots=True)
class Model:
    arms: tuple[Arm, ...]
    sticky: Sticky = Sticky.NOBODY
    shadows: tuple[Shadow, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    name: str


@dataclass(frozen=True, slots=True)
class Table:
    """`models` by served name; `keys` by lower-case sha256 hex digest of the client's key."""

    version: int
    models: dict[str, Model]
    keys: dict[str, Key]
    max_body_bytes: int


def parse_table(raw: bytes) -> Table:
    """The table in `raw`. Raises ValueError, KeyError, TypeError or AttributeError where it is not one."""
    document: dict[str, Any] = json.loads(raw)
    models = {name: _model(model) for name, model in document["models"].items()}
    keys = {digest.lower(): Key(str(key["name"])) for digest, key in document["keys"].items()}
    limit = int(document.get("max_body_bytes", DEFAULT_MAX_BODY_BYTES))
    return Table(int(document["version"]), models, keys, limit)


def _model(told: dict[str, Any]) -> Model:
    return Model(
        tuple(_arm(arm, arm["weight"]) for arm in told["arms"]),
        Sticky(told.get("sticky", "")),
        tuple(Shadow(_arm(shadow, 0), float(shadow["share"])) for shadow in told.get("shadows", ())),
    )


def _arm(told: dict[str, Any], weight: float) -> Arm:
    url = told["url"].rstrip("/")
    return Arm(str(told["version"]), float(weight), url, str(told.get("app", "")), str(told.get("name", "")))


class TableHolder:
    """Holds the newest good table and renews it every `period_s` seconds until `run` is cancelled.

    `read` may block (a file, a database, an actor call): it runs in a thread. It returns None
    where nothing was published yet. A table of an older version than the one held is stale and not taken.
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
            if raw is None or raw == self._raw:
                return
            table = parse_table(raw)
        except Exception:  # the reader is given to us: any failure of it must leave the data path alone
            return
        if self.table is None or table.version >= self.table.version:
            self.table, self._raw = table, raw

    async def run(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._period_s)
