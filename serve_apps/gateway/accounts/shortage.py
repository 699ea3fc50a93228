"""What a client is told of whom an account has not enough, and when it may come back. Pure."""

from __future__ import annotations

import math

from serve_apps.gateway.accounts.bank import Short
from serve_apps.gateway.errors import SERVER, ApiError, short_name
from serve_apps.gateway.keys import Key

NO_RETRY = (b"x-should-retry", b"false")


def refusal(short: Short, key: Key) -> ApiError:
    """For a request of `key`."""
    charge = short.charge
    whose = f"key '{key.name}'" if charge.account.split("/")[-2] == key.name else f"organization '{key.organization}'"
    if short.away:
        return ApiError(
            503,
            "budget_unverified",
            f"What the budget of the {whose} has left cannot be told now.",
            kind=SERVER,
            headers=after(short.wait_s),
        )
    if (charge.what == "cost" and short.spent) or (math.isinf(short.wait_s) and charge.what == "cost"):
        message = f"The budget of the {whose} for today has not enough left for this request."
        return ApiError(429, "insufficient_quota", message, kind="insufficient_quota", headers=(NO_RETRY,))
    if math.isinf(short.wait_s):
        message = f"The request may take {charge.units} {charge.what}; the {whose} may use {charge.capacity} a minute."
        return ApiError(429, "rate_limit_exceeded", message, kind=charge.what, headers=(NO_RETRY,))
    if charge.what == "cost":
        message = f"What the budget of the {whose} has left is reserved for requests that have not ended."
        return ApiError(429, "rate_limit_exceeded", message, kind="cost", headers=after(RESERVED_SECONDS))
    message = (
        f"The {whose} has used its {charge.capacity} {charge.what} a minute: this request may take {charge.units}."
        f" Try again in {short.wait_s:.1f} s."
    )
    return ApiError(429, "rate_limit_exceeded", message, kind=charge.what, headers=after(short.wait_s))


RESERVED_SECONDS = 1.0
"""After which a request that was refused for what others have reserved may try again: nobody knows when they end."""


def used_up(model: str, words: str, wait_s: float) -> ApiError:
    """Of all backends of a route; `words` says of which what. `wait_s` is inf where it never will be free."""
    message = f"What may be used of the backends for '{short_name(model)}' is used up: {words}."
    if math.isinf(wait_s):
        return ApiError(429, "insufficient_quota", message, kind="insufficient_quota", headers=(NO_RETRY,))
    return ApiError(429, "rate_limit_exceeded", message, kind="requests", headers=after(wait_s))


def why(short: Short) -> str:
    """Of a backend, in words for a header."""
    what = "its budget for today" if short.charge.what == "cost" else "its tokens a minute"
    if short.away:
        return f"what is left of {what} cannot be told now"
    return f"{what} {'is' if short.charge.what == 'cost' else 'are'} {'spent' if short.spent else 'in use'}"


def after(seconds: float) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that say when to come back: in whole seconds, and for those who know it in milliseconds."""
    ms = math.ceil(1000 * seconds)
    return (b"retry-after", b"%d" % max(1, math.ceil(ms / 1000))), (b"retry-after-ms", b"%d" % ms)
