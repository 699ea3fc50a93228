"""What the files of a version are: a whole model or an adapter of one, for text or for embeddings. Pure.

It is told by tags, which are written with the version and never changed; a version without them is taken for a model
that chats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from control.registry.adapter_files import base_of, hidden_of, rank_of
from control.registry.lineage import BASE_TAG
from control.registry.model_files import CONFIG, Listing, chats, embeds
from control.specs.footprint import TAGS, ModelFacts

KIND_TAG, TASK_TAG, CHAT_TAG, RANK_TAG = "biplane.kind", "biplane.task", "biplane.chat", "biplane.rank"
HIDDEN_TAG = TAGS["hidden"]
WIDE = frozenset({"F32", "F64"})


@dataclass(frozen=True)
class Nature:
    """`chat` is False for a model without a chat template. `rank` is an adapter's; `hidden` how many numbers the
    layers pass on, or those that an adapter was made for (0: unknown); `base` is what it was made from."""

    adapter: bool = False
    embeds: bool = False
    chat: bool = True
    rank: int = 0
    hidden: int = 0
    base: str = ""

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> Nature:
        return cls(
            adapter=tags.get(KIND_TAG) == "adapter",
            embeds=tags.get(TASK_TAG) == "embed",
            chat=tags.get(CHAT_TAG) != "no",
            rank=_whole(tags.get(RANK_TAG, "")),
            hidden=_whole(tags.get(HIDDEN_TAG, "")),
            base=tags.get(BASE_TAG, ""),
        )


def tags_of(listing: Listing) -> dict[str, str]:
    """The tags of a directory that may be served: its nature, and of a model what it takes of a device."""
    if listing.is_adapter:
        told = {KIND_TAG: "adapter", RANK_TAG: str(rank_of(listing)), BASE_TAG: base_of(listing)}
        if hidden := hidden_of(listing):
            told[HIDDEN_TAG] = str(hidden)
        return {tag: value for tag, value in told.items() if value}
    task = {TASK_TAG: "embed"} if embeds(listing) else {TASK_TAG: "generate"}
    chat = {} if chats(listing) or embeds(listing) else {CHAT_TAG: "no"}
    return {**task, **chat, **_facts(listing).tags}


def _facts(listing: Listing) -> ModelFacts:
    """Numbers that are kept wider than the configuration says are loaded as narrow as it says."""
    facts = ModelFacts.of(listing.documents[CONFIG], 0)
    tensors = [tensor for file in listing.weights for tensor in listing.headers[file].tensors.values()]
    kept = sum(tensor.end - tensor.begin for tensor in tensors)
    spared = sum(max(0, t.end - t.begin - math.prod(t.shape) * facts.width) for t in tensors if t.dtype in WIDE)
    return replace(facts, weights=kept - spared)


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
