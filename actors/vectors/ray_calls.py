"""The way from a replica, or a client, to a replica's actor: Ray's errors become those that callers know."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

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
