"""A token: how far writes got, or a search saw, in each shard's log; clients give it back to see as much. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from serve_apps.vectors.refusals import no_token
from serve_apps.vectors.shards import Tokens

MOST = 1 << 62


def token_of(*parts: Tokens) -> str:
    """Of all together."""
    return ",".join(f"{shard}:{seq}" for shard, seq in sorted(_greatest(parts).items()))


def tokens_of(token: str) -> Tokens:
    """Of one token, or of several with commas between. Raises ApiError 400 for what is no token."""
    try:
        pairs = [one.split(":") for one in token.split(",")] if token else []
        found = _greatest({int(shard): int(seq)} for shard, seq in pairs)
    except ValueError:
        raise no_token() from None
    if any(not 0 <= number < MOST for pair in found.items() for number in pair):
        raise no_token()
    return found


def _greatest(parts: Iterable[Tokens]) -> dict[int, int]:
    found: dict[int, int] = {}
    for part in parts:
        for shard, seq in part.items():
            found[shard] = max(seq, found.get(shard, 0))
    return found
