"""One step of a shard, and how it is written down. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from control.kernel.ids import SHARD_KIND
from control.kernel.plan import Create, Note, PutSpec, Record
from control.vectors.state import Shard, to_json


@dataclass(frozen=True)
class Step:
    """The shard as it is to be stored, what happened in a word and why; the same shard where nothing does."""

    shard: Shard
    event: str = ""
    reason: str = ""


def records_of(before: Shard, after: Shard, step: Step) -> Iterator[Record]:
    """With what was seen of it: it fails where somebody has written it since."""
    event, spec = step.event or "Ended", to_json(after)
    reason = step.reason or "a replica that is no member is gone with its files"
    if not before.revision:
        yield Create(kind=SHARD_KIND, name=after.name, event=event, reason=reason, spec=spec)
        return
    yield PutSpec(kind=SHARD_KIND, name=after.name, event=event, reason=reason, spec=spec, revision=before.revision)
    if after.phase is not before.phase:
        about = f"shard {after.number}: {reason}"
        yield Note(kind="Collection", name=after.collection, event=step.event, reason=about)
