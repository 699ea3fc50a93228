"""What is read ahead of a request: enough to learn that its client left, nothing is lost by it, and no more is held."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from starlette.types import Message

from serve_apps.gateway.body import ClientGone, read_body
from serve_apps.gateway.inbox import MOST_AHEAD, Inbox
from tests.serve_apps.gateway.test_requests import run

GONE: Message = {"type": "http.disconnect"}


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Server:
    """Gives `messages`, and then nothing for ever."""

    def __init__(self, *messages: Message) -> None:
        self.messages = deque(messages)

    async def receive(self) -> Message:
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.popleft()


@pytest.mark.parametrize(
    "body",
    [[part(b"{", True), part(b"}", False)], [part(b"x" * 2 * MOST_AHEAD, False)]],
    ids=["short", "long but here"],
)
def test_who_leaves_after_its_body_came_is_seen_to_leave_and_its_body_is_read_all_the_same(body: list[Message]) -> None:
    async def story() -> None:
        inbox = Inbox(Server(*body, GONE).receive)
        assert await inbox.left()
        assert await read_body(inbox.receive, 1 << 20) == b"".join(one["body"] for one in body)
        assert await inbox.receive() == GONE

    run(story())


def test_who_leaves_within_its_body_is_seen_to_leave() -> None:
    async def story() -> None:
        inbox = Inbox(Server(part(b"{"), GONE).receive)
        assert await inbox.left()
        with pytest.raises(ClientGone):
            await read_body(inbox.receive, 1 << 20)

    run(story())


def test_of_a_long_body_so_much_is_read_and_no_more() -> None:
    async def story() -> None:
        server = Server(*(part(b"x" * (MOST_AHEAD // 2)) for _ in range(3)), part(b"", False))
        inbox = Inbox(server.receive)
        assert not await inbox.left()
        assert len(server.messages) == 2
        assert len(await read_body(inbox.receive, 1 << 20)) == 3 * MOST_AHEAD // 2

    run(story())


def test_looking_that_is_given_up_loses_nothing() -> None:
    async def story() -> None:
        server = Server(part(b"{"))
        inbox = Inbox(server.receive)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await inbox.left()
        server.messages.append(part(b"}", False))
        assert await read_body(inbox.receive, 9) == b"{}"

    run(story())
