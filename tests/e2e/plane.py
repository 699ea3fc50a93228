"""A real plane for the e2e tests: started by the commands a person uses, in a state directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from openai import OpenAI

from control.client import Client
from control.kernel.home import Home
from control.kernel.ids import DOMAINS

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Plane:
    """One plane per session of tests; `cluster` is its declaration, with free ports."""

    home: Home
    cluster: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "BIPLANE_HOME": str(self.home.path)}

    @property
    def client(self) -> Client:
        return Client(self.home)

    def run(
        self, *words: str, timeout: float = 300, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`python -m WORDS…` to its end, whatever its exit code; `env` is added to the plane's environment."""
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**self.environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def biplane(self, *words: str, timeout: float = 300) -> dict[str, Any]:
        """The JSON object that a command prints; fails the test when the command fails."""
        done = self.run("scripts.cli", *words, "--json", timeout=timeout)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def apply(self, text: str) -> None:
        """Apply documents as a person does."""
        file = Path(self.home.path) / "test.yaml"
        file.write_text(text)
        self.biplane("apply", "-f", str(file))

    def quickstart(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.quickstart", "--json", "--cluster", str(self.cluster), *words],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def key(self) -> str:
        return self.home.api_key_file.read_text().strip()

    @property
    def openai(self) -> OpenAI:
        return OpenAI(base_url=self.client.settings.urls["gateway"], api_key=self.key, max_retries=0)

    def pids(self) -> dict[str, int]:
        """The process of each control actor, as it last said itself."""
        return {beat.actor: beat.body["pid"] for beat in self.client.store.heartbeats() if beat.actor in DOMAINS}


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)


def sigkill(pid: int) -> None:
    """Kill a process at whatever line it is; it may have ended by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
