"""How workers that share a lease on a node part it among themselves: each claims the next part that is free."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from actors.claims import DeviceInUse, claim

_POLL_SECONDS = 0.2


def claim_part(
    directory: Path, parts: Sequence[Sequence[str]], holder: str, *, wait_seconds: float = 30.0
) -> tuple[str, ...]:
    """Claim the first part that is free, for as long as this process lives; returns its devices.

    Waits for `wait_seconds` in all until one is. Raises DeviceInUse, and ValueError where there is no part.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        for part in parts:
            try:
                return claim(directory, part, holder, wait_seconds=0).devices
            except DeviceInUse as refused:
                last = refused
        if not parts:
            raise ValueError(f"{holder} has no devices on this node")
        if time.monotonic() >= deadline:
            raise DeviceInUse(f"none of the {len(parts)} part(s) of {holder} on this node is free: {last}") from None
        time.sleep(_POLL_SECONDS)
