"""What the client of the shards answers: receipts, hits, and what is known where not all shards answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.vectors.query import Hits


class UnknownCollection(Exception):
    """No table has said anything of it; the message names those that there are."""


class UnknownToken(Exception):
    """A token of a shard that the collection never had."""


class Failed(Exception):
    """A write that is not acknowledged by all of its shards. `written` has the tokens of those that have it, `unknown`
    those that may have it, `refused` those that do not; each by the shard's number, with the reason.
    """

    def __init__(self, written: Mapping[int, int], unknown: Mapping[int, str], refused: Mapping[int, str]) -> None:
        super().__init__(written, unknown, refused)
        self.written, self.unknown, self.refused = written, unknown, refused

    def __str__(self) -> str:
        unknown = [f"it is not known whether shard {shard} has it: {why}" for shard, why in self.unknown.items()]
        refused = [f"shard {shard} does not have it: {why}" for shard, why in self.refused.items()]
        return "; ".join((*unknown, *refused))


@dataclass(frozen=True)
class Receipt:
    """`tokens` by shard: who reads with them reads this write. `rows` are those that it concerned."""

    tokens: Mapping[int, int]
    rows: int


@dataclass(frozen=True)
class Found:
    """`missing` has why each shard that did not answer in time is missing: what it has may belong before these hits.
    `tokens` by shard: who reads with them sees nothing older than these hits.
    """

    hits: Hits
    missing: Mapping[int, str]
    tokens: Mapping[int, int]


class Unanswered(Exception):
    """No shard, or not all that were needed, answered in time: by the shard's number, why."""

    def __init__(self, missing: Mapping[int, str]) -> None:
        super().__init__(missing)
        self.missing = missing

    def __str__(self) -> str:
        return "; ".join(f"shard {shard} does not answer: {why}" for shard, why in self.missing.items())
