"""The whole main path once: plane up, pipeline from raw data to a deployed model, a question, the answer.

Run again on a live plane it trains nothing: the workflow is unchanged, so its run stands.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from openai import NotFoundError, OpenAI

from control.client import Client
from control.kernel.home import Home
from control.kernel.store import Object
from control.preflight import Refused
from control.specs.load import load_text
from control.specs.problem import SpecError
from scripts.cli import show
from scripts.cli.cluster import declared_cluster
from scripts.memory import peak_memory

PIPELINE = Path(__file__).parents[1] / "examples" / "finetune.yaml"
WAIT_SECONDS = 1800.0
NODE_SECONDS = 60.0
TABLE_SECONDS = 15.0
"""How long the gateway's replicas may take to read a newer table."""


class Failed(Exception):
    """The main path broke off; the text says where and how to find out more."""


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on standard output")
    parser.add_argument("--question", help="what to ask instead of a held-out question")
    parser.add_argument("--cluster", type=Path, help="a file with a Cluster document")
    given = parser.parse_args()
    try:
        body = run(given.question, given.cluster)
    except (Failed, Refused, SpecError, TimeoutError) as error:
        sys.exit(f"quickstart: {error}")
    if given.json:
        print(json.dumps(body))
    else:
        show.table(("WHAT", "VALUE"), body.items())


def run(question: str | None, cluster: Path | None) -> dict[str, Any]:
    """Everything from `up` to the answer; returns what --json prints."""
    began = time.monotonic()
    home = Home.find()
    os.environ.update(home.environment)
    from control.plane import up  # imports Ray, which reads the environment set above

    with peak_memory(home.plane_id) as peak:
        came_up = up(home, declared_cluster(cluster), lambda part: _say(f"starting {part}"))
        if came_up.new_api_key:
            _say(f"API key (shown once; kept for you in {home.api_key_file}): {came_up.new_api_key}")
        client = Client(home)
        documents = load_text(_fitting(PIPELINE.read_text(), _devices(client)), str(PIPELINE))
        (applied,) = client.apply(documents).applied
        reused = applied.outcome == "unchanged"
        finished = _finished(client, documents[0].name, reused=reused)
        tasks = finished.status["tasks"]
        deployed = tasks["deployment"]["outputs"]
        _served(client, deployed)
        asked, expected = _question(tasks["data-preparation"]["outputs"]["dataset-dir"], question)
        key = home.api_key_file.read_text().strip()
        answer = _ask(came_up.settings.urls["gateway"], key, deployed["model"], asked)
    return {
        "accuracy": float(tasks["evaluation"]["outputs"]["accuracy"]),
        "question": asked,
        "answer": answer,
        "expected": expected,
        "seconds": round(time.monotonic() - began, 1),
        "peak_rss_bytes": peak.bytes,
        "reused": reused,
        "model": deployed["model"],
        "version": int(deployed["version"]),
        "urls": came_up.settings.urls,
        "api_key_file": str(home.api_key_file),
    }


def _devices(client: Client) -> int:
    """How many devices the largest node has, once the scheduler has seen one."""
    deadline = time.monotonic() + NODE_SECONDS
    while not (nodes := client.get("Node")):
        if time.monotonic() > deadline:
            raise Failed("no node has joined; see: biplane status")
        time.sleep(0.2)
    return max(len(node.spec["devices"]) for node in nodes)


def _fitting(pipeline: str, devices: int) -> str:
    """The example, which trains on two devices, for a machine that has only one."""
    if devices >= 2:
        return pipeline
    return pipeline.replace("nvidia.com/gpu: 2", "nvidia.com/gpu: 1").replace('value: "2"', 'value: "1"')


def _finished(client: Client, workflow: str, *, reused: bool) -> Object:
    """The workflow's run, when it has succeeded and deployed."""
    on_event = None if reused else show.event
    with show.following() as reason:
        settled = client.wait("Workflow", workflow, timeout=WAIT_SECONDS, on_event=on_event, on_reason=reason)
    run = settled.object
    if not settled.well:
        raise Failed(f"{run.name} {run.status['phase']}: {run.status['reason']}; see: biplane explain run/{run.name}")
    deployment = run.status["tasks"]["deployment"]
    if deployment["state"] != "Succeeded":
        raise Failed(f"nothing was deployed: {deployment['reason']}; see: biplane explain run/{run.name}")
    if reused:
        _say(f"nothing is trained: workflow {workflow} is unchanged and its run {run.name} stands")
    return run


def _served(client: Client, deployed: dict[str, str]) -> None:
    """Wait until the deployment serves: after a restart of the plane its application comes up again."""
    name = deployed["deployment"]
    if client.store.get("Deployment", name) is None:
        raise Failed(f"deployment {name} was deleted; train and deploy again with: biplane rerun {name}")
    if not client.wait("Deployment", name, timeout=WAIT_SECONDS).well:
        raise Failed(f"deployment {name} failed; see: biplane explain deployment/{name}")


def _question(directory: str, given: str | None) -> tuple[str, str | None]:
    """The question to ask, and the answer the data set has for it (None when it has none)."""
    rows = [json.loads(line)["messages"] for line in (Path(directory) / "heldout.jsonl").open()]
    answers = {user["content"]: assistant["content"] for user, assistant in rows}
    if given is None:
        return next(iter(answers.items()))
    return given, answers.get(given)


def _ask(url: str, key: str, model: str, question: str) -> str:
    """The model's answer through the gateway."""
    client = OpenAI(base_url=url, api_key=key)
    deadline = time.monotonic() + TABLE_SECONDS
    while True:
        try:
            reply = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": question}], temperature=0
            )
        except NotFoundError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
            continue
        return reply.choices[0].message.content or ""


def _say(text: str) -> None:
    show.progress.print(text, style="dim")


if __name__ == "__main__":
    main()
