"""The routes and limits of a gateway document as the gateway's replicas read them. Pure.

Money is in nano-dollars, prices in nano-dollars per token (control/price.py).
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from control.gateway.price_list import price_of
from control.price import nano_dollars
from control.specs.gateway import Backend, Cache, Gateway, Money
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
        "continuation": settings.continuation,
    }
    return [
        {
            "name": route.name,
            "path": route.match.path,
            "model": route.match.model,
            "backends": [_backend(backend, gateway) for backend in route.backends],
            "filters": [one.model_dump(mode="json", exclude_defaults=True) for one in route.filters],
            "cache": _cache(route.cache),
            **shared,
        }
        for route in gateway.routes
    ]


def limits_of(gateway: Gateway) -> list[dict[str, Any]]:
    """What each key, and each organization, may use of all routes of the document; null where nothing is said."""
    return [
        {
            "gateway": gateway.name,
            "key": limit.key,
            "requests_per_minute": limit.requests_per_minute,
            "tokens_per_minute": limit.tokens_per_minute,
            "cost_per_day": _nano(limit.cost_per_day),
        }
        for limit in gateway.rate_limits
    ]


def _cache(cache: Cache | None) -> dict[str, Any] | None:
    if cache is None:
        return None
    told = cache.model_dump(include={"threshold", "max_entries", "semantic"})
    return {**told, "ttl_s": cache.ttl}


def _backend(backend: Backend, gateway: Gateway) -> dict[str, Any]:
    """`url` is empty for a model that Biplane itself serves. The secret stays where it is: only its place is told.

    `price` is in the order of `Price`, null where nobody knows it.
    """
    known = PROVIDERS[backend.provider]
    given = backend.api_key.model_dump(exclude_none=True) if backend.api_key else {}
    priced = price_of(backend.provider, backend.model, gateway.prices)
    usual = {"env": known.variable} if known.variable else {}
    return {
        "provider": backend.provider,
        "model": backend.model,
        "weight": backend.weight,
        "dialect": known.dialect,
        "url": (backend.endpoint or known.endpoint).rstrip("/").removesuffix("/v1"),
        "secret": given or usual,
        "price": list(astuple(priced.price)) if priced else None,
        "tokens_per_minute": backend.max_tokens_per_min,
        "cost_per_day": _nano(backend.cost_budget_daily),
    }


def _nano(dollars: Money | None) -> int | None:
    return None if dollars is None else nano_dollars(dollars)
