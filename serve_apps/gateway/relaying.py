"""An upstream's stream on its way to the client, over their connections. Stores nothing."""

from __future__ import annotations

import asyncio

from serve_apps.gateway.answer import Sink
from serve_apps.gateway.backends.relay import Relay
from serve_apps.gateway.dialects.sse import MOST_EVENT_BYTES
from serve_apps.gateway.wire import Headers, Wire


async def pass_on(
    wire: Wire, relay: Relay, answer: Sink, headers: Headers, first_until: float | None
) -> Exception | None:
    """What went wrong on the way; whether all of it came says the `relay`.

    What comes before the first real content waits for it: while the answer has not started, another upstream may answer
    instead. Pings and comments before it are no content, however many: it comes before `first_until` on the loop's
    clock, where that is given, or is late.
    """
    held, begun = b"", False
    trouble: Exception | None = None
    try:
        async with asyncio.timeout_at(first_until) as first:
            while chunk := await wire.chunk():
                held += relay.feed(chunk)
                if held and relay.began:
                    if not begun:
                        begun = True
                        first.reschedule(None)
                        await answer.start(200, headers)
                    ready, held = held, b""
                    await answer.part(ready)
                elif len(held) > MOST_EVENT_BYTES:
                    raise ValueError("too much before its first content")
    except (ConnectionError, TimeoutError, ValueError) as error:
        trouble = error
    last = held + relay.finish()
    if relay.whole or answer.started:
        if not begun:
            await answer.start(200, headers)
        try:
            await answer.part(last, last=True)
        except ValueError as error:
            trouble = error  # of which the client has an event
    return trouble
