"""The end of a log in memory: what followers that keep up are sent, and what is applied, without reading it again."""

from __future__ import annotations

from collections.abc import Sequence

from actors.vectors.entry import Entry

MOST_BYTES = 32 << 20


class Recent:
    """Entries without gaps up to the log's last; the oldest are dropped above `most` bytes of bodies."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._bytes = most, 0
        self._entries: dict[int, Entry] = {}

    def add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._entries[entry.seq] = entry
            self._bytes += len(entry.body)
        while self._bytes > self._most:
            self._bytes -= len(self._entries.pop(next(iter(self._entries))).body)

    def cut_after(self, seq: int) -> None:
        while self._entries and next(reversed(self._entries)) > seq:
            self._bytes -= len(self._entries.popitem()[1].body)

    def clear(self) -> None:
        self._entries, self._bytes = {}, 0

    def get(self, seq: int) -> Entry | None:
        return self._entries.get(seq)

    def after(self, seq: int, most_bytes: int) -> list[Entry]:
        """Those that follow `seq`, at least one; none where the next one is not in memory."""
        found: list[Entry] = []
        size = 0
        while (entry := self._entries.get(seq + 1 + len(found))) is not None:
            size += len(entry.body)
            if found and size > most_bytes:
                break
            found.append(entry)
        return found
