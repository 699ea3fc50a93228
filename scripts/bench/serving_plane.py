"""What the serving benches measure: planes of their own, brought up and down by the commands that a person uses, and
servers beside them.

Every process is marked with the plane's id or the server's, and only what is so marked is ended.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from control.client import Client, NoPlane, NotFound
from control.kernel.home import Home
from control.kernel.recover import MARK, end_plane
from control.kernel.store import Object
from control.specs.load import load_text
from scripts.bench.serving_load import Route

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "examples" / "cluster.local.yaml"
COMMAND_SECONDS = 600.0
READY_SECONDS = 600.0
TABLE_SECONDS = 60.0
POLL_SECONDS = 0.1
CHAT = "/v1/chat/completions"
_SHOWN_LINES = 25


class Broken(Exception):
    """What is measured does not work; the text says what was waited for and where to look."""


@dataclass(frozen=True)
class Plane:
    """A plane that is up. `environment` is added to the commands' own."""

    home: Home
    environment: Mapping[str, str]

    @functools.cached_property
    def client(self) -> Client:
        return Client(self.home)

    @property
    def gateway(self) -> Route:
        """Through the gateway with a client's key."""
        return Route(self.client.settings.gateway_url + CHAT, self.home.api_key_file.read_text().strip())

    def direct(self, deployment: str) -> Route:
        """The first replica's own Serve route through HAProxy."""
        (found,) = self.client.get("Deployment", deployment)
        url = found.status["arms"][0]["replicas"][0]["url"]
        return Route(url + CHAT, self.home.internal_key_file.read_text().strip())

    def biplane(self, *words: str) -> dict[str, Any]:
        """The JSON object that a command prints. Raises Broken where it fails."""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "scripts.cli", *words, "--json"],
                cwd=ROOT,
                env={**os.environ, **self.environment, "BIPLANE_HOME": str(self.home.path)},
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise Broken(f"biplane {' '.join(words)}: no end within {COMMAND_SECONDS:.0f} s; {self.hints}") from error
        if done.returncode:
            raise Broken(f"biplane {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}; {self.hints}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    @property
    def hints(self) -> str:
        """Where what happened is written down."""
        logs = f"{self.home.ray_directory}/session_latest/logs/serve"
        return f"BIPLANE_HOME={self.home.path}, logs in {self.home.logs} and {logs}"

    def register(self, model: str, directory: Path) -> int:
        """Import the directory as a version of `model`; its number, once the registry knows it."""
        version = int(self.biplane("import-model", str(directory), "--name", model)["version"])

        def is_known() -> bool:
            found = self.client.get("ModelVersion")
            return any((one.spec["model"], one.spec["version"]) == (model, version) for one in found)

        self.wait_for(is_known, TABLE_SECONDS, f"the registry to see version {version} of {model}")
        return version

    def apply(self, name: str, *, force: bool = False, **spec: Any) -> None:
        """Make a Deployment what is wanted; with `force` whatever roll-out goes on. Raises SpecError, Refused."""
        body = {"apiVersion": "biplane/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        self.client.apply(load_text(json.dumps(body), "serving bench"), force=force)

    def wait_ready(self, name: str, on_reason: Callable[[str], None]) -> None:
        """Until the deployment is Ready and answers through the gateway. Raises Broken."""
        try:
            settled = self.client.wait("Deployment", name, timeout=READY_SECONDS, on_reason=on_reason)
        except (TimeoutError, NotFound) as error:
            raise Broken(f"{error}; {self.hints}") from error
        if not settled.well:
            findings = "; ".join(str(one) for one in self.client.explain("Deployment", name))
            raise Broken(f"{name} is {settled.object.status}: {findings}; {self.hints}")
        body = {"model": name, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        route, said = self.gateway, [""]

        def answers() -> bool:
            try:
                reply = httpx.post(
                    route.url,
                    json=body,
                    headers={"Authorization": f"Bearer {route.key}"},
                    timeout=TABLE_SECONDS,
                    trust_env=False,
                )
            except httpx.HTTPError as error:
                said[0] = repr(error)
                return False
            said[0] = f"{reply.status_code} {reply.text[:300]}"
            return reply.status_code == 200

        self.wait_for(answers, TABLE_SECONDS, f"an answer of {name} through the gateway", lambda: said[0])

    def wait_for(
        self, holds: Callable[[], bool], seconds: float, what: str, found: Callable[[], object] = lambda: ""
    ) -> float:
        """How many seconds it took until `holds`. Raises Broken with what was `found` instead."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > seconds:
                raise Broken(f"waited {seconds:.0f} s for {what}; found {found()}; {self.hints}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def deployment(self, name: str) -> Object:
        (found,) = self.client.get("Deployment", name)
        return found


@contextmanager
def plane(directory: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> Iterator[Plane]:
    """A plane in `directory`, with free ports; taken down at the end, whatever happens."""
    directory.mkdir(parents=True, exist_ok=True)
    home = Home(directory.absolute())
    declared = yaml.safe_load(CLUSTER.read_text())
    declared["spec"]["ports"] = dict.fromkeys(declared["spec"]["ports"], 0)
    cluster = directory.with_name(f"{directory.name}.cluster.yaml")
    cluster.write_text(yaml.safe_dump(declared))
    brought = Plane(home, environment)
    try:
        say(f"bringing up a plane; {brought.hints}")
        began = time.monotonic()
        brought.biplane("up", "--cluster", str(cluster))
        say(f"the plane is up after {time.monotonic() - began:.0f} s")
        yield brought
    finally:
        say("taking the plane down")
        try:
            brought.biplane("down")
        except (Broken, NoPlane) as error:
            say(f"{error}; its processes are ended one by one")
        end_plane(home.plane_id)


@contextmanager
def server(name: str, words: list[str], log: Path, environment: Mapping[str, str], port: int) -> Iterator[Route]:
    """A server of OpenAI's protocol at `port`, by `python -m WORDS`. As `process`."""
    url = f"http://127.0.0.1:{port}"
    with process(name, [sys.executable, "-m", *words], log, environment, f"{url}/v1/models"):
        yield Route(url + CHAT)


@contextmanager
def process(name: str, command: list[str], log: Path, environment: Mapping[str, str], healthy: str) -> Iterator[None]:
    """What answers 200 at the URL `healthy`, with its output in `log`; ended with its children.

    Raises Broken where it does not answer.
    """
    mark = f"{name}-{os.getpid()}"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            # A process title must not overwrite the environment by which the process is found.
            env={**os.environ, **environment, MARK: mark, "SPT_NOENV": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        began = time.monotonic()
        while not _is_healthy(healthy):
            if started.poll() is not None or time.monotonic() - began > READY_SECONDS:
                last = "\n".join(log.read_text().splitlines()[-_SHOWN_LINES:])
                raise Broken(f"{name} does not answer (exit code {started.poll()}); the end of {log}:\n{last}")
            time.sleep(0.2)
        yield
    finally:
        end_plane(mark)
        started.wait()


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
