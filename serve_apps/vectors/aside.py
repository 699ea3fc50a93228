"""Work that would hold up the event loop, done in a thread where it is much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
MUCH = 20_000
"""Bytes or numbers: less than half a millisecond's work, which is what going to a thread and back costs at worst."""


async def aside(size: int, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if size > MUCH else work()
