"""Who is let in to a place of which there are only so many, and who is turned away. Pure: it waits for nothing.

A crash forgets the queue, whose requests' connections break with it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from control.specs.api_key import Priority

IN_ORDER: tuple[Priority, ...] = ("high", "normal", "low")


@dataclass(slots=True, eq=False)
class Visitor:
    """A request that needs a place, and `size` bytes; `inside` is whether it has them."""

    priority: Priority
    size: int
    inside: bool = False


class Admission:
    """At most `places` visitors are in at once, with `most_bytes` together; the others queue, at most `most_waiting`.

    Both are at least 1. The queue is in the order of priority, then of arrival, and is never overtaken: a large request
    does not starve behind small ones. One that is larger than `most_bytes` is let in alone.
    """

    def __init__(self, places: int, most_waiting: int, most_bytes: int = 0) -> None:
        self.places = places
        self._most_waiting = most_waiting
        self._most_bytes = most_bytes
        self._inside = 0
        self._bytes = 0
        self._waiting = 0
        self._queues: dict[Priority, deque[Visitor]] = {priority: deque() for priority in IN_ORDER}

    def enter(self, visitor: Visitor) -> bool:
        """Whether it is in at once."""
        if self._waiting or not self._has_room(visitor):
            return False
        self._let_in(visitor)
        return True

    def queue(self, visitor: Visitor) -> Visitor | None:
        """Who is turned away now that it waits: nobody, itself, or of a lower priority who came last."""
        dropped = None
        if self._waiting >= self._most_waiting:
            last = next(queue for priority in reversed(IN_ORDER) if (queue := self._queues[priority]))[-1]
            if IN_ORDER.index(last.priority) <= IN_ORDER.index(visitor.priority):
                return visitor
            self._remove(last)
            dropped = last
        self._queues[visitor.priority].append(visitor)
        self._waiting += 1
        return dropped

    def leave(self, visitor: Visitor) -> list[Visitor]:
        """Its place is free. Who is in for it, in order."""
        self._inside -= 1
        self._bytes -= visitor.size
        return self._admitted()

    def shrink(self, visitor: Visitor, size: int) -> list[Visitor]:
        """One that is in needs no more than `size` bytes. Who is in for the others."""
        self._bytes -= visitor.size - size
        visitor.size = size
        return self._admitted()

    def withdraw(self, visitor: Visitor) -> list[Visitor]:
        """One that waits does so no more. Who is in because it does not stand in their way."""
        self._remove(visitor)
        return self._admitted()

    def _has_room(self, visitor: Visitor) -> bool:
        fits = self._bytes + visitor.size <= self._most_bytes or not self._bytes
        return self._inside < self.places and fits

    def _let_in(self, visitor: Visitor) -> None:
        visitor.inside = True
        self._inside += 1
        self._bytes += visitor.size

    def _remove(self, visitor: Visitor) -> None:
        self._queues[visitor.priority].remove(visitor)
        self._waiting -= 1

    def _admitted(self) -> list[Visitor]:
        found = []
        while self._waiting:
            first = next(queue for priority in IN_ORDER if (queue := self._queues[priority]))
            if not self._has_room(first[0]):
                break
            self._waiting -= 1
            self._let_in(first[0])
            found.append(first.popleft())
        return found
