"""Calls of detached actors by name, for processes of the plane that look them up as they need them.

Part of the one door to Ray (`drive`).
"""

from __future__ import annotations

import functools
from typing import Any

import ray

from control.kernel.ids import NAMESPACE


def call(actor: str, method: str, *arguments: Any, timeout_s: float) -> Any:
    """What the method answers. Raises ValueError where there is no such actor, RayError where it does not answer."""
    try:
        return ray.get(getattr(_find(actor), method).remote(*arguments), timeout=timeout_s)
    except ray.exceptions.ActorDiedError:
        _find.cache_clear()  # another one may have its name by now
        raise


@functools.cache
def _find(actor: str) -> Any:
    return ray.get_actor(actor, namespace=NAMESPACE)
