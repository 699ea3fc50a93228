"""What a client may still use, in the headers that OpenAI's clients read. Pure.

Of several limits it is the one of which the least is left.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve_apps.gateway.accounts.bank import Charge
from serve_apps.gateway.accounts.purse import Purse
from serve_apps.gateway.wire import Headers


def rate_headers(charged: Sequence[tuple[Charge, Purse]], now: float) -> Headers:
    found: Headers = []
    for what in ("requests", "tokens"):
        purses = [purse for charge, purse in charged if charge.what == what]
        if not purses:
            continue
        least = min(purses, key=lambda purse: (purse.left + purse.units) / purse.capacity)
        name = what.encode()
        found += [
            (b"x-ratelimit-limit-" + name, b"%d" % least.capacity),
            (b"x-ratelimit-remaining-" + name, b"%d" % (least.left + least.units)),
            (b"x-ratelimit-reset-" + name, duration(max(0.0, least.full_at - now))),
        ]
    return found


def duration(seconds: float) -> bytes:
    """As OpenAI writes it: 6m0s, 1.5s, 12ms."""
    if seconds < 1:
        return b"%dms" % round(1000 * seconds)
    minutes, rest = divmod(seconds, 60)
    short = f"{rest:.3f}".rstrip("0").rstrip(".")
    return (f"{int(minutes)}m{short}s" if minutes else f"{short}s").encode()
