"""What a client sends, while its request may still have to wait for a place.

A server tells of a client's leaving only to who reads on: so much is read of a request that waits, and no more. Kept in
memory; a crash breaks the connection.
"""

from collections import deque

from starlette.types import Message, Receive

MOST_AHEAD = 1 << 16
"""Bytes of a body, from which on no more are read before its turn. The server holds as many again."""


class Inbox:
    """A request's messages: `receive` gives them in order, whether they were read ahead or not."""

    __slots__ = ("_ahead", "_receive")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: deque[Message] = deque()

    async def receive(self) -> Message:
        return self._ahead.popleft() if self._ahead else await self._receive()

    async def left(self) -> bool:
        """Reads ahead: True when the client has left, False where its body is too long to find out."""
        size, whole = 0, False
        while whole or size < MOST_AHEAD:
            message = await self._receive()
            self._ahead.append(message)
            if message["type"] == "http.disconnect":
                return True
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
        return False
