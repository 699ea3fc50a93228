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


def ask(actor: str, method: str, *arguments: Any, timeout_s: float) -> Any:
    """`call` for what may be done twice: where the actor that was known is dead, another of its name is asked."""
    try:
        return call(actor, method, *arguments, timeout_s=timeout_s)
    except ray.exceptions.ActorDiedError:
        return call(actor, method, *arguments, timeout_s=timeout_s)


@functools.cache
def _find(actor: str) -> Any:
    return ray.get_actor(actor, namespace=NAMESPACE)
