"""What clients of the shards know of them, published whole. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from control.vectors.layouts import layouts_of
from control.vectors.state import Collection, Shard


def table_of(collections: Iterable[Collection], shards: Iterable[Shard]) -> dict[str, Any]:
    """By collection its uid's part that is in names, the generation of its spec, the spec, and the shards of the layout
    that serves, in order.

    `leader` is the name of an actor, empty before the first one; `members` are such names.
    """
    by_life: dict[tuple[str, str], list[Shard]] = {}
    for shard in shards:
        by_life.setdefault((shard.collection, shard.life), []).append(shard)
    return {
        one.name: {
            "life": one.life,
            "generation": one.generation,
            "spec": one.spec.model_dump(mode="json"),
            "shards": [_shard(shard) for shard in layouts_of(by_life.get((one.name, one.life), ())).serving],
        }
        for one in sorted(collections, key=lambda one: one.name)
    }


def named_in(table: Mapping[str, Any] | None) -> frozenset[str]:
    """The actors that the table names."""
    shards = [shard for one in (table or {}).values() for shard in one["shards"]]
    return frozenset(name for shard in shards for name in shard["members"])


def _shard(shard: Shard) -> dict[str, Any]:
    return {
        "shard": shard.number,
        "epoch": shard.epoch,
        "leader": "" if shard.leader is None else str(shard.called(shard.leader)),
        "members": [str(shard.called(one)) for one in shard.members],
        "filled": shard.filled,
    }
