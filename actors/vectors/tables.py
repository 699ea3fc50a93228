"""The published table of collections, as clients of the shards read it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control.specs.collection import CollectionSpec


@dataclass(frozen=True)
class ShardRow:
    """`leader` and `members` are names of actors; `leader` is "" before there is one."""

    epoch: int
    leader: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class CollectionRow:
    """`life` tells a collection from one of the same name that was deleted before."""

    life: str
    spec: CollectionSpec
    shards: tuple[ShardRow, ...]


def read_table(body: Mapping[str, Any]) -> dict[str, CollectionRow]:
    """By name; only what it says of all shards of a collection can be used, so others are left out."""
    rows = {name: _row(one) for name, one in body.items()}
    return {name: row for name, row in rows.items() if len(row.shards) == row.spec.shards}


def _row(body: Mapping[str, Any]) -> CollectionRow:
    shards = (ShardRow(one["epoch"], one["leader"], tuple(one["members"])) for one in body["shards"])
    return CollectionRow(body["life"], CollectionSpec.model_validate(body["spec"]), tuple(shards))
