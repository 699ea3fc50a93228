"""The whole main path on real Ray, vLLM and MLflow, in the order in which a person meets it.

The tests of this file tell one story and share one plane: each goes on where the one before ended.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient

from control.kernel.ids import DOMAINS
from control.kernel.recover import processes_of
from control.preflight import choose_port
from tests.e2e.plane import ROOT, Plane, sigkill

MODEL = "status-codes"


@pytest.fixture(scope="module")
def first(plane: Plane) -> dict[str, Any]:
    """What the first quickstart printed, while every control actor was killed once in each phase of the pipeline."""
    running = plane.quickstart()
    killed: list[str] = []
    over = threading.Event()
    killer = threading.Thread(target=_kill_control_actors, args=(plane, killed, over), daemon=True)
    killer.start()
    output, _ = running.communicate(timeout=1200)
    over.set()
    killer.join()
    assert running.returncode == 0
    assert set(killed) == set(DOMAINS), f"only {killed} were killed"
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def _kill_control_actors(plane: Plane, killed: list[str], over: threading.Event) -> None:
    """Story: the machine's out-of-memory killer picks control actors at random while a pipeline runs."""
    phases = ["training", "evaluation", "deployment"]
    while phases and not over.is_set():
        time.sleep(0.2)
        if not plane.client.exists or not (run := plane.client.store.get("Run", f"{MODEL}-1")):
            continue
        tasks = run.status.get("tasks", {})
        if tasks.get(phases[0], {}).get("state", "Waiting") == "Waiting":
            continue
        phases.pop(0)
        for domain, pid in plane.pids().items():
            sigkill(pid)
            killed.append(domain)


def test_quickstart_trains_gates_registers_deploys_and_answers_though_every_control_actor_is_killed(
    first: dict[str, Any],
) -> None:
    assert first["accuracy"] >= 0.95
    assert first["answer"] == first["expected"]
    assert first["version"] == 1
    assert first["reused"] is False
    assert first["peak_rss_bytes"] < 12 << 30


def test_killing_control_actors_left_one_version_and_one_deployment(plane: Plane, first: dict[str, Any]) -> None:
    mlflow = MlflowClient(first["urls"]["mlflow"], first["urls"]["mlflow"])
    assert [version.version for version in mlflow.search_model_versions(f"name='{MODEL}'")] == ["1"]
    assert [o.name for o in plane.client.get("ModelVersion")] == [f"{MODEL}@1"]
    (deployment,) = plane.client.get("Deployment")
    assert deployment.generation == 1
    assert [arm["version"] for arm in deployment.status["arms"]] == [1]
    workloads = plane.client.get("Workload")
    assert len(workloads) == 1, "the training step's devices were given back, the application's are held"


def test_the_registered_version_is_in_mlflow_with_its_accuracy_and_alias(first: dict[str, Any]) -> None:
    mlflow = MlflowClient(first["urls"]["mlflow"], first["urls"]["mlflow"])
    version = mlflow.get_model_version_by_alias(MODEL, "production")
    assert float(version.tags["accuracy"]) == first["accuracy"]
    assert mlflow.get_run(version.run_id).data.metrics


def test_quickstart_again_trains_nothing_and_answers_within_15_seconds(plane: Plane, first: dict[str, Any]) -> None:
    began = time.monotonic()
    running = plane.quickstart("--question", first["question"])
    output, _ = running.communicate(timeout=60)
    again = json.loads(output.splitlines()[-1])
    assert again["reused"] is True
    assert (again["version"], again["answer"]) == (1, first["expected"])
    assert time.monotonic() - began < 15
    assert len(plane.client.get("Run")) == 1


def test_a_stream_comes_in_pieces_with_usage_and_done(plane: Plane, first: dict[str, Any]) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": first["question"]}],
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    url = f"{plane.client.settings.gateway_url}/v1/chat/completions"
    headers = {"Authorization": f"Bearer {plane.key}"}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert text == first["expected"]
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_the_model_is_listed(plane: Plane, first: dict[str, Any]) -> None:
    assert [model.id for model in plane.openai.models.list()] == [MODEL]


@pytest.mark.parametrize(
    ("content", "key", "status", "code"),
    [
        (b"{", None, 400, "invalid_json"),
        (b'{"model": "status-code", "messages": []}', None, 404, "model_not_found"),
        (b'{"model": "status-codes", "messages": []}', "bp-wrong", 401, "invalid_api_key"),
        (b'{"model": "' + b"x" * (1 << 21) + b'"}', None, 413, "request_too_large"),
    ],
)
def test_bad_requests_are_refused_in_the_shape_of_openai(
    plane: Plane, first: dict[str, Any], content: bytes, key: str | None, status: int, code: str
) -> None:
    url = f"{plane.client.settings.gateway_url}/v1/chat/completions"
    response = httpx.post(url, content=content, headers={"Authorization": f"Bearer {key or plane.key}"}, timeout=30)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code


def test_an_engine_answers_nothing_without_the_internal_key(plane: Plane, first: dict[str, Any]) -> None:
    (deployment,) = plane.client.get("Deployment")
    url = deployment.status["arms"][0]["replicas"][0]["url"]
    for path in ("/v1/models", "/metrics", "/docs", "/tokenize"):
        assert httpx.get(url + path, timeout=30).status_code == 401, path


def test_the_gate_refuses_a_model_that_learnt_too_little(plane: Plane, first: dict[str, Any]) -> None:
    plane.biplane("apply", "-f", "examples/hasty.yaml")
    settled = plane.biplane("wait", "workflow/hasty", timeout=600)
    deployment = settled["status"]["tasks"]["deployment"]
    assert deployment["state"] == "Skipped"
    assert ">= 0.95 is false" in deployment["reason"]
    findings = plane.biplane("explain", "workflow/hasty")["findings"]
    assert any(deployment["reason"] in finding["reason"] for finding in findings)
    assert len(plane.client.get("Deployment")) == 1
    assert len(plane.client.get("ModelVersion")) == 1


def test_more_devices_than_the_cluster_could_ever_have_are_refused(
    plane: Plane, first: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "greedy.yaml"
    file.write_text(
        "apiVersion: biplane/v1\nkind: Workload\nmetadata:\n  name: greedy\nspec:\n  type: training\n  devices: 9\n"
    )
    done = plane.run("scripts.cli", "apply", "-f", str(file))
    assert done.returncode == 2
    assert "greedy.yaml:7" in done.stderr
    assert "the cluster has 8 devices for it, 9 are asked for" in done.stderr
    assert plane.client.store.get("Workload", "greedy") is None


def test_a_submitted_ray_job_runs_the_same_commands(plane: Plane, first: dict[str, Any]) -> None:
    env = plane.biplane("env")
    done = plane.run(
        *("ray.scripts.scripts", "job", "submit", "--address", env["RAY_API_SERVER_ADDRESS"]),
        *("--working-dir", str(ROOT), "--", "python", "-m", "scripts.cli", "get", "deployments"),
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert MODEL in done.stdout


def test_requests_succeed_while_every_control_actor_is_dead(plane: Plane, first: dict[str, Any]) -> None:
    """Story: the control plane's code has a bug that kills each actor at once, again and again, for seconds."""
    until = time.monotonic() + 8
    answered = 0
    while time.monotonic() < until:
        for pid in plane.pids().values():
            sigkill(pid)
        reply = plane.openai.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": first["question"]}], temperature=0
        )
        assert reply.choices[0].message.content == first["expected"]
        answered += 1
    assert answered > 5


def test_up_recovers_from_the_loss_of_ray(plane: Plane, first: dict[str, Any]) -> None:
    """Story: the machine lost Ray's head process; its workers, HAProxy and the engine are orphans."""
    head = [p for p in processes_of(plane.home.plane_id) if "gcs_server" in " ".join(p.cmdline())]
    for process in head:
        sigkill(process.pid)
    plane.biplane("up", timeout=300)
    plane.biplane("wait", f"deployment/{MODEL}", timeout=300)
    again = json.loads(plane.quickstart("--question", first["question"]).communicate(timeout=120)[0].splitlines()[-1])
    assert again["reused"] is True
    assert again["answer"] == first["expected"]
    assert len(plane.client.get("ModelVersion")) == 1


def test_a_deleted_deployment_gives_its_devices_back(plane: Plane, first: dict[str, Any]) -> None:
    plane.biplane("delete", f"deployment/{MODEL}", "--drain")
    until = time.monotonic() + 60
    while plane.client.get("Workload") and time.monotonic() < until:
        time.sleep(0.5)
    assert plane.client.get("Workload") == ()
    (version,) = plane.client.get("ModelVersion")
    assert version.status["phase"] == "registered"


def test_down_leaves_no_process_and_no_port(plane: Plane, first: dict[str, Any]) -> None:
    settings = plane.client.settings
    assert plane.biplane("down")["ended_processes"] > 0
    assert not processes_of(plane.home.plane_id)
    for port in (settings.gateway_port, settings.dashboard_port, settings.mlflow_port, settings.ray_port):
        assert choose_port("any", port, plane.home.plane_id) == port
