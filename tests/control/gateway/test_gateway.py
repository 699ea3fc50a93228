"""The table that the gateway's replicas hold: whole, versioned, published only when it changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from control.gateway.decide import decide
from control.gateway.state import Model, Snapshot
from control.kernel.ids import CACHE_ACTOR, GATEWAY_APP
from control.kernel.plan import Create, EndActor, EndApp, EnsureActor, EnsureApp, PutSpec
from control.kernel.present import AppState
from control.specs.gateway import Gateway
from serve_apps.gateway.table import parse_table
from tests.control.router.world import deployment, plane_with

ARM = {
    "version": 3,
    "weight": 1.0,
    "name": "",
    "replicas": [{"app": "llm:chat:3:x:0:y", "url": "http://here/llm/chat/3-x-0-y"}],
}
ARGUMENTS = {"host": "127.0.0.1", "port": 8000, "internal_key_file": "/k"}
EMPTY = Snapshot({}, None, app=AppState.RUNNING, arguments=ARGUMENTS)


def test_the_first_table_is_published_even_when_it_is_empty() -> None:
    (record,) = decide(EMPTY).records
    assert isinstance(record, PutSpec)
    assert record.spec == {"models": {}, "routes": [], "limits": [], "replicas": 2}
    assert record.reason == "routes to no model"


def test_it_has_the_arms_of_each_model_that_serves_and_nothing_of_any_key() -> None:
    copied = {**ARM, "version": 4, "weight": 0.1}
    models = {"chat": Model((ARM,), (copied,), "user"), "new": Model()}
    looked = Snapshot(models, None, AppState.RUNNING, ARGUMENTS)
    (record,) = decide(looked).records
    assert isinstance(record, PutSpec)
    assert record.spec == {
        "models": {
            "chat": {
                "arms": [{**ARM, "version": "3"}],
                "shadows": [{"version": "4", "share": 0.1, "replicas": ARM["replicas"]}],
                "sticky": "user",
                "affinity": "",
                "wakes_s": 0.0,
            }
        },
        "routes": [],
        "limits": [],
        "replicas": 2,
    }
    assert record.reason == "routes to chat"


def test_the_gateway_application_is_asked_for_when_it_is_not_there() -> None:
    (effect,) = decide(Snapshot({}, {"models": {}}, AppState.ABSENT, ARGUMENTS)).effects
    assert isinstance(effect, EnsureApp)
    assert (effect.app, effect.route_prefix, effect.args) == (
        "gateway",
        "",
        {**ARGUMENTS, "replicas": 2},
    )


def test_a_gateway_application_that_failed_is_ended_and_asked_for_again() -> None:
    plane = plane_with(0)
    plane.turn()
    plane.drive.turn_app(GATEWAY_APP, AppState.FAILED, "the port is taken")
    plane.turn()
    assert plane.drive.serve[GATEWAY_APP].state is AppState.ENDING
    plane.turn()
    plane.drive.remove_ended_apps()
    plane.turn()
    asked = [type(effect) for effect in plane.drive.acts if effect.kind != "Node"]
    assert asked == [EnsureApp, EndApp, EnsureApp]
    assert plane.drive.serve[GATEWAY_APP].state is AppState.STARTING


@pytest.mark.parametrize("state", AppState)
def test_a_gateway_application_is_touched_only_when_it_is_absent_or_failed(state: AppState) -> None:
    effects = decide(replace(EMPTY, app=state)).effects
    expected = {AppState.ABSENT: [EnsureApp], AppState.FAILED: [EndApp]}
    assert [type(effect) for effect in effects] == expected.get(state, [])


def test_nothing_is_published_again_when_nothing_changed() -> None:
    plane = plane_with(1, deployment())
    plane.settle()
    generation = plane.only("Table").generation
    for _ in range(3):
        plane.turn()
    plane.drive.turn_app(plane.models()[0], AppState.SICK, "unwell")
    plane.settle()
    assert plane.only("Table").generation == generation


def test_a_new_version_that_serves_makes_a_new_generation_of_the_table() -> None:
    plane = plane_with(1, deployment())
    plane.settle()
    generation = plane.only("Table").generation
    plane.mlflow.register("chat", "second")
    plane.settle()
    assert plane.only("Table").generation == generation + 1
    (arm,) = plane.table()["models"]["chat"]["arms"]
    assert arm["version"] == "2"


def test_a_key_that_is_added_leaves_the_table_as_it_is() -> None:
    plane = plane_with(0)
    plane.settle()
    before = plane.only("Table")
    key = Create(kind="ApiKey", name="admin", event="Created", reason="test", spec={"sha256": "ff"})
    plane.store.commit((key,), who="test", now=1.0)
    plane.turn()
    assert plane.only("Table") == before


def test_what_is_published_is_what_a_replica_reads() -> None:
    plane = plane_with(1, deployment())
    plane.settle()
    stored = plane.only("Table")
    table = parse_table(json.dumps({"version": stored.generation, **stored.spec}).encode())
    assert [arm.version for arm in table.models["chat"].arms] == ["1"]


def test_the_cache_runs_while_a_route_wants_it() -> None:
    route = {
        "name": "chat",
        "match": {"path": "/v1/chat/completions"},
        "backends": [{"provider": "openai", "model": "gpt-4o"}],
    }
    plain = Gateway.model_validate({"name": "front", "routes": [route]})
    caching = Gateway.model_validate({"name": "front", "routes": [{**route, "cache": {}}]})
    nothing = Snapshot({}, None, AppState.RUNNING, {})
    acts = {
        (gateway.name, wants, runs): decide(replace(nothing, gateways=(gateway,), caches=runs)).effects
        for gateway, wants in ((plain, False), (caching, True))
        for runs in (False, True)
    }
    assert [type(one) for effects in acts.values() for one in effects] == [EndActor, EnsureActor]
    assert {one.actor for effects in acts.values() for one in effects if isinstance(one, EndActor | EnsureActor)} == {
        CACHE_ACTOR
    }
