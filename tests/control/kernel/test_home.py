"""The state directory: who finds it, what is in it, and files that are whole or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from control.kernel.home import HOME_VARIABLE, Home, Settings, write_atomically

SETTINGS = Settings("local", 1, 2, 3, 4, 5, 6, 7, 8, 9)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_variable_names_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert Home.find() == Home(tmp_path)


def test_a_relative_directory_is_the_same_plane_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "here")
    assert Home.find() == Home(tmp_path / "here")


def test_every_directory_is_a_plane_of_its_own(tmp_path: Path) -> None:
    assert Home(tmp_path / "a").plane_id == Home(tmp_path / "a").plane_id
    assert Home(tmp_path / "a").plane_id != Home(tmp_path / "b").plane_id


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    assert Settings.read(home) is None
    SETTINGS.write(home)
    assert Settings.read(home) == SETTINGS


def test_a_secret_file_is_readable_by_its_owner_only_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    replace = os.replace

    def look_then_replace(source: str, target: Path) -> None:
        modes.append(mode_of(Path(source)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look_then_replace)
    write_atomically(tmp_path / "keys" / "secret", "s", mode=0o600)
    assert modes == [0o600]
    assert mode_of(tmp_path / "keys" / "secret") == 0o600


def test_a_crash_before_the_rename_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_atomically(file, "old")

    def crash(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, "new")
    assert file.read_text() == "old"


def test_writing_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write_atomically(tmp_path / "file", text)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "two"
