"""The routes of a gateway document as the gateway's replicas read them. Pure."""

from __future__ import annotations

from typing import Any

from control.specs.gateway import Backend, Cache, Gateway
from control.specs.provider import PROVIDERS


def routes_of(gateway: Gateway) -> list[dict[str, Any]]:
    """Each with all that concerns its requests: replicas look nothing else up. Times in seconds."""
    settings, fallback = gateway.connections, gateway.fallback
    shared = {
        "gateway": gateway.name,
        "chain": list(fallback.chain) if fallback else [],
        "triggers": [trigger.text for trigger in fallback.triggers] if fallback else [],
        "pool_size": settings.pool_size,
        "timeout_s": settings.timeout_ms / 1000,
        "retries": settings.retry_count,
        "streaming": settings.streaming,
    }
    return [
        {
            "name": route.name,
            "path": route.match.path,
            "model": route.match.model,
            "backends": [_backend(backend) for backend in route.backends],
            "cache": _cache(route.cache),
            **shared,
        }
        for route in gateway.routes
    ]


def _cache(cache: Cache | None) -> dict[str, Any] | None:
    if cache is None:
        return None
    told = cache.model_dump(include={"threshold", "max_entries", "semantic"})
    return {**told, "ttl_s": cache.ttl}


def _backend(backend: Backend) -> dict[str, Any]:
    """`url` is empty for a model that Biplane itself serves. The secret stays where it is: only its place is told."""
    known = PROVIDERS[backend.provider]
    given = backend.api_key.model_dump(exclude_none=True) if backend.api_key else {}
    usual = {"env": known.variable} if known.variable else {}
    return {
        "provider": backend.provider,
        "model": backend.model,
        "weight": backend.weight,
        "dialect": known.dialect,
        "url": (backend.endpoint or known.endpoint).rstrip("/").removesuffix("/v1"),
        "secret": given or usual,
    }
