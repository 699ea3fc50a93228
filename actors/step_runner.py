"""Hosts one attempt at one pipeline step in a process of its own.

It leaves two files in the step's directory: `begun.N` before the step starts, `outcome.json` after it ended, in one
rename. A crash in between leaves the first without the second; the pipeline then starts the next attempt in the same
directory, and the step goes on from what it finds there.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
import traceback
from pathlib import Path

from control.specs.step import OUTCOME_FILE, StepRequest, begun_file


class StepRunner:
    """A Ray actor that runs `entrypoint(request)` once, as attempt `name`."""

    def __init__(self, name: str, entrypoint: str, request: StepRequest) -> None:
        self._name = name
        self._directory = Path(request.directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / begun_file(name)).touch()
        threading.Thread(target=self._run, args=(entrypoint, request), daemon=True).start()

    def _run(self, entrypoint: str, request: StepRequest) -> None:
        try:
            module, _, function = entrypoint.partition(":")
            outputs = getattr(importlib.import_module(module), function)(request)
            if not isinstance(outputs, dict) or not all(isinstance(x, str) for pair in outputs.items() for x in pair):
                raise TypeError(f"{entrypoint} returned {outputs!r}; expected a dict of text to text")
            outcome = {"ok": True, "outputs": outputs}
        except BaseException as error:
            # Whatever ends a step, sys.exit too, is its outcome for the run's status; the traceback is for the log.
            traceback.print_exc()
            outcome = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        temporary = self._directory / f".{OUTCOME_FILE}.{os.getpid()}"
        with temporary.open("w") as file:
            json.dump({**outcome, "actor": self._name}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._directory / OUTCOME_FILE)
