"""Work for a client, for as long as the client is there. Stores nothing."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


async def while_there(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Does the work of a request whose body was received, and drops it at once when the client leaves."""
    working, leaving = asyncio.current_task(), asyncio.create_task(_client_left(receive))
    done = left = False

    def leave(_: asyncio.Task[None]) -> None:
        nonlocal left
        if working is not None and not done:
            left = working.cancel()  # vLLM aborts a request whose connection closes

    leaving.add_done_callback(leave)
    try:
        await work
    except asyncio.CancelledError:
        if working is None or not left or working.uncancel():
            raise  # somebody else wants this to end
    finally:
        done = True
        leaving.cancel()


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
