"""What a snapshot of a collection says of itself. Pure.

Each shard is copied as it was at a position of its own log, all of them at about the same time: what was acknowledged
before the snapshot began is in it, what was written meanwhile may be in it, shard by shard. `collection.json` names all
files with their checksums and is written last, so that it proves the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from actors.vectors.entry import Position
from actors.vectors.manifest import FileRecord
from control.specs.collection import CollectionSpec

FIXED = ("dimension", "metric", "ids", "fields", "shards")
"""What a collection must have in common with the snapshot that its rows come from."""


class SnapshotError(Exception):
    """A snapshot cannot be taken or read; the message says what is missing, or wrong, and where."""


@dataclass(frozen=True)
class ShardCopy:
    """The files that together are the shard at `position`, its manifest last. Paths are those in the shard, and below
    `place` in the snapshot: each replica that tries has a place of its own, so that no two write the same file.
    """

    shard: int
    place: str
    position: Position
    rows: int
    files: tuple[FileRecord, ...]

    @property
    def nbytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Snapshot:
    """`taken` is when it began, in RFC 3339; `biplane` the version that wrote it."""

    collection: str
    taken: str
    biplane: str
    spec: CollectionSpec
    shards: tuple[ShardCopy, ...]

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.shards)

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.shards)

    def text(self) -> str:
        """Of its `collection.json`."""
        body = {**asdict(self), "spec": self.spec.model_dump(mode="json")}
        return json.dumps({"sha256": _digest(body), "snapshot": body}, indent=1)

    @staticmethod
    def read(text: str) -> Snapshot:
        """Raises SnapshotError where that is not what was written."""
        try:
            written = json.loads(text)
            body = written["snapshot"]
            if written["sha256"] != _digest(body):
                raise SnapshotError("its checksum is not that of its text")
            spec = CollectionSpec.model_validate(body["spec"])
            shards = TypeAdapter(tuple[ShardCopy, ...]).validate_python(body["shards"])
            return Snapshot(body["collection"], body["taken"], body["biplane"], spec, shards)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise SnapshotError(f"it cannot be read: {error}") from error

    @property
    def sha256(self) -> str:
        return _digest({**asdict(self), "spec": self.spec.model_dump(mode="json")})


def differences(snapshot: CollectionSpec, collection: CollectionSpec) -> list[str]:
    """Why rows of the one cannot be those of the other, each with the field's name; nothing where they can."""
    found: list[str] = []
    for name in FIXED:
        theirs, ours = getattr(snapshot, name), getattr(collection, name)
        if name == "fields":
            found += _different_fields(snapshot, collection)
        elif theirs != ours:
            found.append(f"{name}: the snapshot has {theirs}, the collection {ours}")
    return found


def _different_fields(snapshot: CollectionSpec, collection: CollectionSpec) -> Iterable[str]:
    theirs = {one.name: one.type + "[]" * one.many for one in snapshot.fields}
    ours = {one.name: one.type + "[]" * one.many for one in collection.fields}
    for name, kind in sorted(theirs.items()):  # a field that came later is null in its rows
        if ours.get(name) != kind:
            yield f"fields.{name}: the snapshot has {kind}, the collection {ours.get(name, 'no such field')}"


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
