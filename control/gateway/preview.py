"""What applying a gateway document would do. Pure."""

from __future__ import annotations

from control.gateway.price_list import price_of
from control.price import show_per_million
from control.specs.gateway import Backend, Cache, Gateway, GatewayFile, RateLimit, Route
from control.specs.line import Line
from control.specs.quantity import show_seconds


def preview(spec: GatewayFile) -> list[Line]:
    gateway = spec.gateway
    lines = [_backend(gateway, route, backend) for route in gateway.routes for backend in route.backends]
    lines += [Line("filters", one.name, tuple(f.type for f in one.filters)) for one in gateway.routes if one.filters]
    lines += [_cache(route.name, route.cache) for route in gateway.routes if route.cache]
    lines += [_limit(limit) for limit in gateway.rate_limits]
    if gateway.fallback is not None:
        lines.append(Line("fallback", " → ".join(gateway.fallback.chain), ()))
        lines += [Line("fallback trigger", trigger.text, ()) for trigger in gateway.fallback.triggers]
    settings = gateway.connections
    streaming = "streaming" if settings.streaming else "no streaming"
    streaming += ", continued elsewhere" if settings.continuation else ""
    timing = (f"timeout {settings.timeout_ms} ms", f"{settings.retry_count} retries", streaming)
    return [*lines, Line("connections", gateway.name, (f"pool of {settings.pool_size}", *timing))]


def _backend(gateway: Gateway, route: Route, backend: Backend) -> Line:
    total = sum(one.weight for one in route.backends)
    facts = [
        f"{route.match.path} to {backend.name}",
        f"{100 * backend.weight / total:.4g}%",
        _price(gateway, backend),
    ]
    if backend.max_tokens_per_min is not None:
        facts.append(f"at most {backend.max_tokens_per_min} tokens a minute")
    if backend.cost_budget_daily is not None:
        facts.append(f"at most ${backend.cost_budget_daily:.2f} a day")
    if backend.endpoint is not None:
        facts.append(f"at {backend.endpoint}")
    return Line("route", route.name, tuple(facts))


def _price(gateway: Gateway, backend: Backend) -> str:
    priced = price_of(backend.provider, backend.model, gateway.prices)
    if priced is None:
        return "price unknown"
    read, written = show_per_million(priced.price.input), show_per_million(priced.price.output)
    return f"{read} in, {written} out per million tokens ({priced.source.value})"


def _cache(route: str, cache: Cache) -> Line:
    alike = f"by meaning from {cache.threshold:g} on" if cache.semantic else "only equal requests"
    bounds = (f"for {show_seconds(cache.ttl)}", f"at most {cache.max_entries} a tenant")
    return Line("cache", route, (alike, *bounds))


def _limit(limit: RateLimit) -> Line:
    facts = []
    if limit.requests_per_minute is not None:
        facts.append(f"{limit.requests_per_minute} requests a minute")
    if limit.tokens_per_minute is not None:
        facts.append(f"{limit.tokens_per_minute} tokens a minute")
    if limit.cost_per_day is not None:
        facts.append(f"${limit.cost_per_day:.2f} a day")
    return Line("rate limit", f"each {limit.key.replace('_', ' ')}", tuple(facts))
