"""The receipt of a shard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.vectors.entry import Position
from actors.vectors.manifest import FileDamaged, FileRecord, Lost, Manifest, SegmentRecord, read_manifest, schema_digest
from tests.fakes.vector_rows import spec_of

FILE = FileRecord("a/b", 3, 7)
MANIFEST = Manifest(
    "digest",
    Position(2, 30),
    (SegmentRecord("s", 10, "{}", (FILE, FILE), FILE), SegmentRecord("t", 1, "", (), None)),
    FILE,
    (Lost("u", "gone"),),
    12,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) == (None, "")
    for manifest in (replace(MANIFEST, growing=None), MANIFEST):
        manifest.write(tmp_path)
        assert read_manifest(tmp_path) == (manifest, "")
    assert list(MANIFEST.files) == [FILE] * 4


def test_the_greatest_number_is_in_force(tmp_path: Path) -> None:
    latest = replace(MANIFEST, spent=100)
    for manifest in (latest, MANIFEST):
        manifest.write(tmp_path)
    assert read_manifest(tmp_path) == (latest, "")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"sha256": "x", "manifest": {}}', b"\xff\xfe"])
def test_a_damaged_manifest_is_said_and_the_one_before_it_read(tmp_path: Path, damage: bytes) -> None:
    MANIFEST.write(tmp_path)
    latest = replace(MANIFEST, spent=100)
    latest.path(tmp_path).write_bytes(damage)
    found, wrong = read_manifest(tmp_path)
    assert found == MANIFEST
    assert f"{latest.path(tmp_path).name} cannot be read" in wrong


def test_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    path = MANIFEST.path(tmp_path)
    path.write_text(path.read_text().replace('"seq": 30', '"seq": 31'))
    assert read_manifest(tmp_path)[0] is None


def test_a_file_that_is_not_what_was_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"whole")
    record = FileRecord.of(tmp_path, path)
    record.check(tmp_path)
    path.write_bytes(b"whale")
    with pytest.raises(FileDamaged, match="file has the checksum"):
        record.check(tmp_path)
    path.write_bytes(b"who")
    with pytest.raises(FileDamaged, match="file has 3 bytes, expected 5"):
        record.check(tmp_path)
    path.unlink()
    with pytest.raises(FileDamaged, match="file is missing"):
        record.check(tmp_path)


def test_another_metric_dimension_or_kind_of_ids_is_another_schema_and_other_fields_are_not() -> None:
    assert schema_digest(spec_of("flat")) == schema_digest(spec_of("hnsw"))
    assert schema_digest(spec_of()) == schema_digest(spec_of().model_copy(update={"fields": ()}))
    others = [spec_of(ids="string"), spec_of(metric="ip"), spec_of(dimension=4)]
    assert len({schema_digest(one) for one in (spec_of(), *others)}) == 4
