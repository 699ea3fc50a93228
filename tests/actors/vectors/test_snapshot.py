"""What a snapshot says of itself is what was written, or it says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from actors.vectors.entry import Position
from actors.vectors.manifest import FileRecord
from actors.vectors.snapshot import ShardCopy, Snapshot, SnapshotError, differences
from control.specs.collection import CollectionSpec

FIELDS = [{"name": "year", "type": "integer"}, {"name": "tags", "type": "keyword", "many": True}]
BODY = {"dimension": 3, "metric": "l2", "ids": "integer", "fields": FIELDS, "shards": 2}


def spec(**changes: Any) -> CollectionSpec:
    return CollectionSpec.model_validate({**BODY, **changes})


def snapshot() -> Snapshot:
    copies = tuple(
        ShardCopy(n, f"shard-{n}/replica-0", Position(1 << 20, 7), 5, (FileRecord("a", 10, 1), FileRecord("b", 5, 2)))
        for n in range(2)
    )
    return Snapshot("articles", "2026-11-28T12:00:00+00:00", "0.1.0", spec(), copies)


def test_what_is_read_is_what_was_written() -> None:
    read = Snapshot.read(snapshot().text())
    assert read == snapshot()
    assert read.sha256 == snapshot().sha256
    assert (read.rows, read.nbytes) == (10, 30)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", snapshot().text()[:-20], snapshot().text().replace('"rows": 5', '"rows": 6', 1)]
)
def test_a_text_that_is_not_what_was_written_is_refused(text: str) -> None:
    with pytest.raises(SnapshotError):
        Snapshot.read(text)


def test_collections_that_agree_in_what_rows_are_take_each_others_rows() -> None:
    assert differences(spec(), spec(index={"kind": "flat"}, replicas=3, acknowledge="all")) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dimension": 4}, "dimension: the snapshot has 3, the collection 4"),
        ({"metric": "ip"}, "metric: the snapshot has l2, the collection ip"),
        ({"ids": "string"}, "ids: the snapshot has integer, the collection string"),
        ({"shards": 3}, "shards: the snapshot has 2, the collection 3"),
        ({"fields": [FIELDS[0]]}, "fields.tags: the snapshot has keyword[], the collection no such field"),
        (
            {"fields": [{"name": "year", "type": "float"}, FIELDS[1]]},
            "fields.year: the snapshot has integer, the collection float",
        ),
    ],
)
def test_another_schema_is_told_by_the_field_that_differs(changes: dict[str, Any], told: str) -> None:
    assert differences(spec(), spec(**changes)) == [told]


def test_fields_may_have_come_since_and_stand_in_another_order() -> None:
    stars = {"name": "stars", "type": "integer"}
    assert differences(spec(), spec(fields=[stars, *FIELDS[::-1]])) == []
