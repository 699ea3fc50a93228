"""The keys of providers: read where the table says that they are, held in memory, never shown.

A file is read again at each `refresh`, so that a key that was changed there is used within a second. A crash leaves
nothing behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from serve_apps.gateway.table import BackendSpec, Table


class Secrets:
    """`why_not` says of a backend why it has no key, in words that never hold one."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], ...], str] = {}
        self._missing: dict[tuple[tuple[str, str], ...], str] = {}

    async def refresh(self, table: Table | None) -> None:
        backends = [backend for route in table.routes.values() for backend in route.backends] if table else []
        if backends:
            await asyncio.to_thread(self._read, backends)

    def of(self, backend: BackendSpec) -> str:
        """Empty where it needs none, or has none."""
        return self._known.get(backend.secret, "")

    def why_not(self, backend: BackendSpec) -> str:
        """Empty where its key is known, or it needs none."""
        return self._missing.get(backend.secret, "")

    def _read(self, backends: Iterable[BackendSpec]) -> None:
        known, missing = {}, {}
        for secret in {backend.secret for backend in backends if backend.secret}:
            ((kind, place),) = secret
            try:
                known[secret] = os.environ[place] if kind == "env" else Path(place).read_text().strip()
            except KeyError:
                missing[secret] = f"the environment variable {place} was not set where `biplane up` ran"
            except (OSError, ValueError) as error:
                missing[secret] = (
                    f"its key cannot be read from {place}: {getattr(error, 'strerror', None) or 'no text'}"
                )
        self._known, self._missing = known, missing
