"""The files of a replica that is not wanted any more go, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.kernel.replicas import remove_files


def test_a_replicas_files_go_and_others_stay(tmp_path: Path) -> None:
    mine, other = tmp_path / "docs-0a" / "0" / "1", tmp_path / "docs-0a" / "0" / "2"
    for directory in (mine, other):
        (directory / "segments").mkdir(parents=True)
        (directory / "segments" / "1").write_text("rows")
    remove_files(str(mine))
    assert not mine.exists()
    assert (other / "segments" / "1").read_text() == "rows"


def test_the_last_replica_takes_the_collections_directories_with_it(tmp_path: Path) -> None:
    mine = tmp_path / "docs-0a" / "0" / "1"
    mine.mkdir(parents=True)
    remove_files(str(mine))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", ["docs-0a/0", "docs-0a", ""])
def test_a_removal_that_was_broken_off_is_done_again(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir(parents=True, exist_ok=True)
    remove_files(str(tmp_path / "docs-0a" / "0" / "1"))
    assert list(tmp_path.iterdir()) == []
