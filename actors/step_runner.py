"""Hosts one attempt at one pipeline step in a process of its own.

It leaves two files in the step's directory: `begun.N` before the step starts, `outcome.json` after it ended, in one
rename. A crash in between leaves the first without the second; the pipeline then starts the next attempt in the same
directory, and the step goes on from what it finds there. A step that stops because it was told to leaves no outcome
either: its process ends, with it its claim on the devices, and the next attempt goes on elsewhere.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path

from actors.claims import claim
from control.specs.step import OUTCOME_FILE, DeviceGrant, Evicted, StepRequest, begun_file

CLAIM_SECONDS = 30.0
"""How long the process that had the devices before may take to be gone."""


class StepRunner:
    """A Ray actor that runs `entrypoint(request)` once, as attempt `name`.

    It claims the devices of the grant first, and fails when somebody else holds one: an attempt without its devices
    never begins. The workers of a `gang` claim theirs themselves; this process then sees none, like that of a step
    that was granted none. Raises DeviceInUse.
    """

    def __init__(self, name: str, entrypoint: str, request: StepRequest, gang: bool) -> None:
        self._name = name
        self._directory = Path(request.directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        devices = () if gang else (request.grant or DeviceGrant()).devices
        claim(Path(request.claims), devices, request.workload, wait_seconds=CLAIM_SECONDS)
        (self._directory / begun_file(name)).touch()
        threading.Thread(target=self._run, args=(entrypoint, request), daemon=True).start()

    def _run(self, entrypoint: str, request: StepRequest) -> None:
        try:
            module, _, function = entrypoint.partition(":")
            outputs = getattr(importlib.import_module(module), function)(request)
            if not isinstance(outputs, dict) or not all(isinstance(x, str) for pair in outputs.items() for x in pair):
                raise TypeError(f"{entrypoint} returned {outputs!r}; expected a dict of text to text")
            outcome = {"ok": True, "outputs": outputs}
        except Evicted as stopped:
            print(f"{self._name}: {stopped}", flush=True)
            sys.stderr.flush()
            os._exit(0)  # from a thread nothing else ends the process of an actor
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
