"""What `scripts/setup` refuses, each with one line, before it changes anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing was installed, and a `bin` folder whose commands come before the machine's."""
    for name in ("scripts/setup", "deploy/locks/cpu.txt", "deploy/locks/gpu.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    return tmp_path


def command(checkout: Path, name: str, text: str) -> Path:
    """A command that prints `text`."""
    path = checkout / "bin" / name
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return path


def refusal(checkout: Path, python: str | Path = sys.executable) -> str:
    """What setup says when it refuses."""
    env = {**os.environ, "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", "BIPLANE_PYTHON_BIN": str(python)}
    done = subprocess.run([checkout / "scripts" / "setup"], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert not (checkout / ".venv").exists()
    (line,) = done.stderr.splitlines()
    return line


def test_another_python_is_refused(checkout: Path) -> None:
    assert "Python 3.11 is needed" in refusal(checkout, command(checkout, "python3.9", "3.9"))


def test_a_missing_python_is_refused(checkout: Path) -> None:
    assert "'no-such-python' was not found" in refusal(checkout, "no-such-python")


def test_another_architecture_is_refused(checkout: Path) -> None:
    command(checkout, "uname", "aarch64")
    assert "Linux on x86_64 is needed, this is aarch64" in refusal(checkout)


def test_too_little_disk_is_refused(checkout: Path) -> None:
    command(checkout, "df", "Filesystem\nnone 10 9 1048576 9% /")
    assert "GiB of free disk are needed here, there are 1" in refusal(checkout)


def test_nothing_is_done_when_nothing_changed() -> None:
    done = subprocess.run([ROOT / "scripts" / "setup"], capture_output=True, text=True, timeout=3)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
