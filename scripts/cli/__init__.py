"""The command line: `biplane`, or `python -m scripts.cli` inside a submitted job."""

from scripts.cli import judge, model_commands
from scripts.cli.app import main

__all__ = ["judge", "main", "model_commands"]
