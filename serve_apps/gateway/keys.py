"""The API keys as this process knows them: what each may be used for, and the last good reading of them.

They are read from the store itself and not from the table: a key is revoked within a second although every control
actor is dead, and no table grows with the keys. A crash leaves nothing behind; a new process reads again.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from pydantic import ValidationError

from control.specs.api_key import ApiKey, KeyLimits, Priority

StoredKey = tuple[str, int, Mapping[str, Any]]
"""Its name, the revision of the write that made it what it is, and its spec."""
Stamp = tuple[int, int]
ReadKeys = Callable[[Stamp | None], tuple[Stamp, Iterable[StoredKey]] | None]
"""Given the stamp of the last reading: the one of this, and all keys; None where none of them changed since."""


class Ending(Enum):
    """Why a key is not good any more, as its owner is told."""

    REVOKED = "was revoked"
    EXPIRED = "has expired"
    ROTATED = "was replaced by another one"


@dataclass(frozen=True, slots=True)
class Key:
    """`routes` and `models` are empty where it may use all; `prefixes` are how names of models begin that it may use.

    It is good while the time, in seconds since the epoch, is before `ends_at`.
    """

    name: str
    organization: str = "default"
    routes: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    ends_at: float = math.inf
    ending: Ending = Ending.EXPIRED
    priority: Priority = "normal"
    limits: KeyLimits = field(default_factory=KeyLimits)

    def takes(self, model: str) -> bool:
        """Whether it may be used for a model of this name, as far as the name is concerned."""
        return model in self.models or model.startswith(self.prefixes) or not (self.models or self.prefixes)

    @property
    def is_bounded(self) -> bool:
        """Whether it may not do all, as often as it likes."""
        return bool(self.routes or self.models or self.prefixes) or self.limits != KeyLimits()

    def may_use(self, model: str, route: str | None) -> bool:
        """Whether it may be used for a model by a route, or where `route` is None for one that is served here."""
        if not self.takes(model):
            return False
        return not self.routes or (bool(self.models or self.prefixes) if route is None else route in self.routes)


class Keys:
    """`known` has the keys by the lower-case hex SHA-256 of their secrets, as of the last good `refresh`.

    `read` may block: it runs in a thread. A key that was stored in a form that nobody can read is not known.
    """

    def __init__(self, read: ReadKeys) -> None:
        self.known: Mapping[str, Key] = {}
        self._read = read
        self._stamp: Stamp | None = None
        self._each: dict[str, tuple[int, dict[str, Key]]] = {}

    async def refresh(self) -> bool:
        """Reads once, and says whether it could. Never raises: whatever goes wrong, what is known stays."""
        try:
            await asyncio.to_thread(self._learn)
        except Exception:  # the reader is given to us: any failure of it must leave the data path alone
            return False
        return True

    def _learn(self) -> None:
        reading = self._read(self._stamp)
        if reading is None:
            return
        stamp, stored = reading
        each = {}
        for name, written, spec in stored:
            before = self._each.get(name)
            unchanged = before is not None and before[0] == written
            each[name] = before if before and unchanged else (written, dict(_keys_of(name, spec)))
        self.known = {digest: key for _, keys in each.values() for digest, key in keys.items()}
        self._each, self._stamp = each, stamp


def _keys_of(name: str, spec: Mapping[str, Any]) -> Iterator[tuple[str, Key]]:
    """The key by its digest, and while it is being rotated by that of its secret before, too."""
    with suppress(ValidationError):
        stored = ApiKey.model_validate(spec)
        revoked, expires_at = stored.revoked_at is not None, stored.expires_at
        key = Key(
            name,
            stored.organization,
            frozenset(stored.routes),
            frozenset(model for model in stored.models if not model.endswith("*")),
            tuple(model[:-1] for model in stored.models if model.endswith("*")),
            # Clocks differ: what was revoked is not asked when.
            -math.inf if revoked else math.inf if expires_at is None else expires_at,
            Ending.REVOKED if revoked else Ending.EXPIRED,
            stored.priority,
            stored.limits,
        )
        yield stored.sha256, key
        if stored.previous_sha256 is not None and stored.previous_until is not None:
            sooner = stored.previous_until < key.ends_at
            yield (
                stored.previous_sha256,
                replace(key, ends_at=stored.previous_until, ending=Ending.ROTATED) if sooner else key,
            )
