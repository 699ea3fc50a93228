"""The plane's secrets: the first API key (only its hash is stored), the internal key and Ray's token (only files)."""

from __future__ import annotations

import hashlib
import secrets

from control.kernel.home import Home, write_atomically
from control.kernel.ids import API_KEY_KIND
from control.kernel.plan import Create
from control.kernel.store import Store

ADMIN = "admin"
API_KEY_PREFIX = "bp-"


def ensure_secrets(home: Home) -> None:
    """Make the internal key and Ray's token where they are missing."""
    for file in (home.internal_key_file, home.ray_token_file):
        if not file.exists():
            write_atomically(file, secrets.token_urlsafe(32), mode=0o600)


def ensure_api_key(home: Home, store: Store, *, now: float) -> str | None:
    """The first API key, to be shown once; None when there is one, be it a revoked one.

    The file is written before the hash is stored: a crash in between leaves a key that the next call replaces,
    never a stored hash whose key nobody has seen.
    """
    if store.list(API_KEY_KIND):
        return None
    key, digest = new_api_key()
    write_atomically(home.api_key_file, key + "\n", mode=0o600)
    record = Create(
        kind=API_KEY_KIND, name=ADMIN, event="Created", reason="there was no API key", spec={"sha256": digest}
    )
    store.commit((record,), who="plane", now=now)
    return key


def new_api_key() -> tuple[str, str]:
    """The key, and the hash of it that is stored: 256 random bits need no slow one, there is nothing to guess."""
    key = API_KEY_PREFIX + secrets.token_urlsafe(32)
    return key, hashlib.sha256(key.encode()).hexdigest()
