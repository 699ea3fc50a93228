"""The command line: `biplane`, or `python -m scripts.cli` inside a submitted job."""

from scripts.cli.app import main

__all__ = ["main"]
