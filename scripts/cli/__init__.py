"""The command line: `biplane`, or `python -m scripts.cli` inside a submitted job."""

from scripts.cli import model_commands
from scripts.cli.app import main

__all__ = ["main", "model_commands"]
