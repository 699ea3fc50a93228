"""The last good copy of the gateway's table.

The control plane publishes; here it is read again and again. A failed or malformed read changes nothing (static
stability): requests go on with the last table. A crash leaves nothing behind; a new process reads again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serve_apps.gateway.table import Table, parse_table


class TableHolder:
    """Holds the newest good table, as of the last `refresh`.

    `read` may block (a file, a database, an actor call): it runs in a thread. It returns None
    where nothing was published yet. A table of an older version than the one held is stale and not taken.
    """

    def __init__(self, read: Callable[[], bytes | None]) -> None:
        self.table: Table | None = None
        self._read = read
        self._raw: bytes | None = None
        self._changed = asyncio.Event()

    async def refresh(self) -> bool:
        """Reads once, and says whether it could. Never raises: whatever goes wrong, the last good table stays."""
        try:
            raw = await asyncio.to_thread(self._read)
            if raw is None or raw == self._raw:
                return True
            table = parse_table(raw)
        except Exception:  # the reader is given to us: any failure of it must leave the data path alone
            return False
        if self.table is None or table.version >= self.table.version:
            self.table, self._raw = table, raw
            self._changed.set()
            self._changed = asyncio.Event()
        return True

    async def changed(self) -> None:
        """Returns as soon as there is another table than now."""
        await self._changed.wait()
