"""The published table of collections, as clients of the shards read it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control.specs.collection import CollectionSpec


@dataclass(frozen=True)
class ShardRow:
    """`leader` and `members` are names of actors; `leader` is "" before there is one.

    Up to the entry `filled` of its log it has the rows of an earlier layout: who reads less misses some of them.
    """

    epoch: int
    leader: str
    members: tuple[str, ...]
    filled: int = 0


@dataclass(frozen=True)
class CollectionRow:
    """`life` tells a collection from one of the same name that was deleted before. `shards` are those that serve: as
    many as the ids are shared among, which may not be as many as `spec` wants yet. They are numbered from `first` on.
    """

    life: str
    spec: CollectionSpec
    shards: tuple[ShardRow, ...]
    first: int = 0

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + len(self.shards))

    def least(self, shard: int, tokens: Mapping[int, int]) -> int:
        """How far a replica of the shard has to be. What tokens say of an earlier layout's shards is in this one."""
        return max(tokens.get(shard, 0), self.shards[shard - self.first].filled)


def read_table(body: Mapping[str, Any]) -> dict[str, CollectionRow]:
    """By name; a collection without shards is left out."""
    return {name: _row(one) for name, one in body.items() if one["shards"]}


def _row(body: Mapping[str, Any]) -> CollectionRow:
    told = sorted(body["shards"], key=lambda one: int(one["shard"]))
    shards = (ShardRow(one["epoch"], one["leader"], tuple(one["members"]), one.get("filled", 0)) for one in told)
    return CollectionRow(
        body["life"], CollectionSpec.model_validate(body["spec"]), tuple(shards), int(told[0]["shard"])
    )
