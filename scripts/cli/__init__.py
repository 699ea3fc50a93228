"""The command line: `biplane`, or `python -m scripts.cli` inside a submitted job."""

from scripts.cli import (
    gateway_commands,
    judge,
    model_commands,
    vectors,
    vectors_data,
    vectors_files,
    vectors_snapshots,
)
from scripts.cli.app import main

__all__ = [
    "gateway_commands",
    "judge",
    "main",
    "model_commands",
    "vectors",
    "vectors_data",
    "vectors_files",
    "vectors_snapshots",
]
