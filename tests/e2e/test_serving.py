"""Models on real engines: replicas that die, a canary with live traffic, a model that sleeps and wakes.

The tests of this file tell one story and share one plane: each goes on where the one before ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from control import engine_report
from control.engine_report import EngineReport
from control.kernel.store import Object
from scripts.bench.serving_model import write_model
from tests.e2e.clients import Clients, errors
from tests.e2e.plane import Plane, sigkill, until

MODEL = "tiny"
SERVED = """\
apiVersion: biplane/v1
kind: Deployment
metadata: {name: tiny}
spec:
  model: tiny
  engine: {max_model_len: 512, max_num_seqs: 32}
"""
SPLIT = SERVED + "  prefill: 1\n"
# One engine on half a core answers unevenly: what this story is about is who answers, not how fast.
CANARY = """\
  rollout:
    strategy: canary
    steps: [20, 100]
    hold: 3
    least_requests: 20
    analysis: {ttft: 20, itl: 20, latency_p99: 20}
"""


@pytest.fixture(scope="module")
def live(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    plane.biplane("up", "--cluster", str(plane.cluster), timeout=600)
    register(plane, tmp_path_factory.mktemp("model"), seed=0)
    yield plane
    plane.biplane("down")


def register(plane: Plane, directory: Path, seed: int) -> None:
    """Another version of the model, with random weights."""
    write_model(directory, seed)
    plane.biplane("import-model", str(directory), "--name", MODEL)


def deployed(plane: Plane) -> Object:
    (found,) = plane.client.get("Deployment", MODEL)
    return found


def is_in(plane: Plane, phase: str) -> bool:
    return bool(deployed(plane).status.get("phase") == phase)


def reports(plane: Plane) -> dict[str, EngineReport]:
    """The engines, as they last spoke of themselves."""
    return {
        beat.actor.removeprefix(engine_report.BEAT_PREFIX): engine_report.parse(beat.body)
        for beat in plane.client.store.heartbeats(engine_report.BEAT_PREFIX)
    }


def engines(plane: Plane) -> dict[str, EngineReport]:
    """The replicas that are in the table."""
    said = reports(plane)
    serving = [one["app"] for arm in deployed(plane).status["arms"] for one in arm["replicas"]]
    return {app: said[app] for app in serving}


def readers(plane: Plane) -> list[EngineReport]:
    """The engines that only read prompts for replicas that are in the table."""
    return [report for name, report in reports(plane).items() if name.rpartition("/")[0] in engines(plane)]


def events(plane: Plane) -> list[str]:
    return [event.event for event in plane.client.events("Deployment", MODEL)]


def test_two_replicas_share_the_requests_and_are_reached_at_their_own_address(live: Plane) -> None:
    live.apply(SERVED + "  replicas: 2\n")
    until(lambda: is_in(live, "Ready"), seconds=240)
    until(lambda: all(MODEL in {one.id for one in live.openai.models.list()} for _ in range(6)))  # every gateway knows
    assert len({report.url for report in engines(live).values()}) == 2
    with Clients(live, MODEL).using() as answers:
        until(lambda: len(answers) >= 24)
    assert not errors(answers)
    assert {answer.replica for answer in answers} == engines(live).keys()


def test_an_engine_s_own_address_answers_nobody_without_the_internal_key(live: Plane) -> None:
    for report in engines(live).values():
        for path in ("/v1/models", "/metrics", "/docs", "/tokenize", "/health"):
            assert httpx.get(report.url + path, timeout=30).status_code == 401, path


def test_when_a_replica_is_killed_its_streams_end_in_an_error_and_nobody_else_notices(live: Plane) -> None:
    """Story: the machine's out-of-memory killer takes one of two replicas while eight people use the model."""
    (app, killed), *_ = engines(live).items()
    with Clients(live, MODEL).using() as answers:
        until(lambda: len(answers) >= 16)
        at = time.monotonic()
        sigkill(killed.pid)
        until(lambda: sum(answer.began > at + 1 for answer in answers) >= 8)
    failed = [answer for answer in answers if answer.error]
    assert all(answer.told and answer.replica == app for answer in failed), errors(answers)
    assert all(answer.began <= at for answer in failed), "whoever came later was answered by the other"
    assert {answer.replica for answer in answers if answer.began > at + 1} == engines(live).keys() - {app}


def test_the_replica_comes_back_although_every_control_actor_was_killed(live: Plane) -> None:
    for pid in live.pids().values():
        sigkill(pid)
    with Clients(live, MODEL, count=2).using() as answers:
        until(lambda: len({answer.replica for answer in answers[-12:]}) == 2, seconds=180)
    assert not errors(answers)


def test_fewer_replicas_drain_without_an_error(live: Plane) -> None:
    with Clients(live, MODEL, count=4).using() as answers:
        until(lambda: len(answers) >= 8)
        live.apply(SERVED)
        until(lambda: len(live.client.get("Workload")) == 1, seconds=90)
    assert not errors(answers)
    assert is_in(live, "Ready")


def test_a_canary_takes_its_part_and_then_all_by_what_live_requests_show(
    live: Plane, tmp_path_factory: pytest.TempPathFactory
) -> None:
    live.apply(SERVED + CANARY)
    register(live, tmp_path_factory.mktemp("second"), seed=1)
    with Clients(live, MODEL, count=4).using() as answers:
        until(lambda: is_in(live, "RollingOut"), seconds=180)
        stepped = time.monotonic()
        until(lambda: any(answer.version == "2" for answer in answers))
        until(lambda: is_in(live, "Ready"), seconds=120)
    assert not errors(answers)
    seen = [answer for answer in answers if answer.began > stepped]
    first = next(answer for answer in seen if answer.version == "2")
    assert first.began - stepped < 3
    assert {answer.version for answer in answers[-4:]} == {"2"}
    told = events(live)
    assert [told.count(event) for event in ("RolloutStepped", "RolloutPromoted")] == [1, 1]


def test_prompts_are_read_by_an_engine_of_their_own_and_without_it_by_the_one_that_answers(live: Plane) -> None:
    live.apply(SPLIT)
    with Clients(live, MODEL, count=4).using() as answers:
        until(lambda: bool(readers(live)), seconds=240)
        until(lambda: sum(reader.requests for reader in readers(live)) >= 12)
        (reader,) = readers(live)
        at = time.monotonic()
        sigkill(reader.pid)
        until(lambda: sum(answer.began > at for answer in answers) >= 16)
    assert not errors(answers)


def test_a_model_that_nobody_uses_sleeps_and_the_next_request_wakes_it(live: Plane) -> None:
    live.apply(SPLIT + "  autoscaling: {min: 0, max: 1, idle: 3, wake: 170}\n")
    until(lambda: is_in(live, "Asleep") and not live.client.get("Workload"), seconds=90)
    began = time.monotonic()
    with Clients(live, MODEL, count=3).using() as answers:
        until(lambda: len(answers) >= 3, seconds=175)
    assert not errors(answers)
    assert answers[0].took < time.monotonic() - began + 1
    (report,) = engines(live).values()
    parts: dict[str, Any] = dict(report.started_s)
    assert parts, "a wake is told with its parts"


def test_a_model_that_serves_is_not_deleted_by_mistake(live: Plane, tmp_path: Path) -> None:
    until(lambda: is_in(live, "Ready"))
    refused = live.run("scripts.cli", "delete", f"deployment/{MODEL}")
    assert refused.returncode == 1
    assert "--drain" in refused.stderr
    live.biplane("delete", f"deployment/{MODEL}", "--drain")
    until(lambda: not live.client.get("Workload"), seconds=60)
