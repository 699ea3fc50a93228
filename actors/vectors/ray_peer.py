"""The way from a replica, or a client, to a replica's actor: Ray's errors become those that callers know."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from actors.vectors.replication.messages import Append, Appended, Copy

NAMESPACE = "biplane"


class RayCalls:
    """Calls actors by name. Handles outlive restarts of their actors, and are looked up anew where one was replaced."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    async def __call__(self, actor: str, method: str, *words: Any) -> Any:
        """Raises what the actor raised, or ConnectionError: then it is not known whether it did anything."""
        try:
            handle = self._handles.get(actor)
            if handle is None:
                find = asyncio.get_running_loop().run_in_executor(None, lambda: ray.get_actor(actor, NAMESPACE))
                handle = self._handles[actor] = await find
            return await getattr(handle, method).remote(*words)
        except RayTaskError as error:
            raise error.cause from None
        except (RayError, ValueError) as error:
            self._handles.pop(actor, None)
            raise ConnectionError(f"{actor} cannot be called: {type(error).__name__}") from error


class RayPeer:
    """A `Peer`."""

    def __init__(self, name: str) -> None:
        self._name, self._calls = name, RayCalls()

    async def append(self, request: Append) -> Appended:
        return await self._ask("append", request)  # type: ignore[no-any-return]

    async def copy(self) -> Copy:
        return await self._ask("copy", None)  # type: ignore[no-any-return]

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes:
        return await self._ask("chunk", (number, name, offset, size))  # type: ignore[no-any-return]

    async def end_copy(self, number: int) -> None:
        await self._ask("end_copy", number)

    async def _ask(self, method: str, body: object) -> Any:
        return await self._calls(self._name, "peer", method, pickle.dumps(body, 5))
