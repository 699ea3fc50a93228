"""The heartbeats of one kind of process, read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from control.kernel.store import Heartbeat

T = TypeVar("T")


def read_beats(
    beats: Iterable[Heartbeat], prefix: str, parse: Callable[[Mapping[str, Any]], T]
) -> Iterator[tuple[str, float, T]]:
    """Of those whose actors begin with `prefix`: what follows it, when it was written, and the body as `parse` has it.

    Where `parse` raises ValueError the heartbeat is left out: another version may have written it.
    """
    for beat in beats:
        if beat.actor.startswith(prefix):
            with suppress(ValueError):
                yield beat.actor.removeprefix(prefix), beat.at, parse(beat.body)
