"""The keys of providers and the secrets of filters: read where the table says, held in memory, never shown.

A file is read again at each `refresh`, so that a key that was changed there is used within a second. A crash leaves
nothing behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from pathlib import Path

from serve_apps.gateway.filters.build import places
from serve_apps.gateway.filters.filter import Place, Unusable
from serve_apps.gateway.table import BackendSpec, Table


class Secrets:
    """`why_not` says of a backend why it has no key, in words that never hold one."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], ...], str] = {}
        self._missing: dict[tuple[tuple[str, str], ...], str] = {}

    async def refresh(self, table: Table | None) -> None:
        routes = table.routes.values() if table else ()
        wanted = {backend.secret for route in routes for backend in route.backends if backend.secret}
        wanted.update(*(places(route.filters) for route in routes))
        if wanted:
            await asyncio.to_thread(self._read, wanted)

    def at(self, place: Place) -> str:
        """The secret of a filter. Raises Unusable where it is not known."""
        if place not in self._known:
            raise Unusable(self._missing.get(place, "a secret of its filters was not read yet"))
        return self._known[place]

    def of(self, backend: BackendSpec) -> str:
        """Empty where it needs none, or has none."""
        return self._known.get(backend.secret, "")

    def why_not(self, backend: BackendSpec) -> str:
        """Empty where its key is known, or it needs none."""
        return self._missing.get(backend.secret, "")

    def _read(self, wanted: Collection[Place]) -> None:
        known, missing = {}, {}
        for secret in wanted:
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
