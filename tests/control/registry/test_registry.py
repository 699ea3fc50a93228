"""Which versions exist and where each is; MLflow is observed, the deployment record is ours."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from control.kernel.plan import Create, EnsureAlias, PutSpec, PutStatus, Remove
from control.kernel.store import Object
from control.registry.decide import decide
from control.registry.mirror import AT_ONCE, EnsureTags
from control.registry.state import TRANSITIONS, Happening, Ruling, Snapshot, Stage, Use
from control.registry.view import uses_of
from tests.control.registry.world import GATE_FAILED, known, seen
from tests.control.router.world import deployment, plane_with

ADA = Ruling("ada", "it leaks")


def only_status(snapshot: Snapshot) -> PutStatus:
    (record,) = decide(snapshot).records
    assert isinstance(record, PutStatus)
    return record


def test_a_version_that_mlflow_has_is_taken_over_with_where_it_comes_from() -> None:
    (record,) = decide(Snapshot((seen(1),), (), ())).records
    assert isinstance(record, Create)
    assert (record.kind, record.name, record.event) == ("ModelVersion", "chat@1", "Registered")
    assert record.spec == seen(1).spec


def test_what_is_known_and_as_it_should_be_needs_nothing() -> None:
    assert not decide(Snapshot((seen(1), seen(2)), (known(1), known(2)), ()))


def test_what_mlflow_says_otherwise_now_is_taken_over() -> None:
    (record,) = decide(Snapshot((seen(1, gate="passed"),), (known(1),), ())).records
    assert isinstance(record, PutSpec)
    assert (record.event, record.reason, record.revision) == ("Refreshed", "MLflow has other tags, gate", 41)


@pytest.mark.parametrize(
    ("role", "event", "does"),
    [
        (Stage.SHADOW, "Shadow", "copies requests to it"),
        (Stage.CANARY, "Canary", "tries it on a part of the traffic"),
        (Stage.PRODUCTION, "Production", "serves it"),
    ],
)
def test_the_stage_follows_what_a_deployment_does_with_the_version(role: Stage, event: str, does: str) -> None:
    plan = decide(Snapshot((seen(1),), (known(1),), (Use("web", "chat", 1, role),)))
    (record,) = plan.records
    assert isinstance(record, PutStatus)
    assert (record.event, record.reason, record.revision) == (event, f"deployment web {does}", 41)
    assert (record.status["phase"], record.status["deployments"]) == (role.value, ["web"])
    alias, tags = plan.effects
    assert isinstance(alias, EnsureAlias)
    assert (alias.model, alias.alias, alias.version) == ("chat", role.value, 1)
    assert isinstance(tags, EnsureTags)
    assert tags.tags["biplane.stage"] == role.value
    assert tags.tags["biplane.deployment"] == "web"


def test_of_two_deployments_the_one_with_the_most_at_stake_names_the_stage() -> None:
    uses = (Use("web", "chat", 1, Stage.SHADOW), Use("app", "chat", 1, Stage.PRODUCTION))
    assert only_status(Snapshot((seen(1),), (known(1),), uses)).status["phase"] == "production"


def test_a_version_that_serves_no_more_is_withdrawn_and_its_alias_removed() -> None:
    plan = decide(Snapshot((seen(1),), (known(1, Stage.PRODUCTION),), (), {("chat", "production"): 1}))
    (record,) = plan.records
    assert (record.event, record.reason) == ("Withdrawn", "no deployment serves it any more")
    alias = plan.effects[0]
    assert isinstance(alias, EnsureAlias)
    assert (alias.version, alias.name) == (None, "chat@1")


def test_while_two_versions_serve_the_alias_is_at_the_newer() -> None:
    uses = (Use("web", "chat", 2), Use("old", "chat", 1))
    plan = decide(Snapshot((seen(1), seen(2)), (known(1), known(2)), uses, {("chat", "production"): 1}))
    (alias,) = (effect for effect in plan.effects if isinstance(effect, EnsureAlias))
    assert alias.version == 2


def test_an_alias_that_somebody_else_made_is_left_alone() -> None:
    assert not decide(Snapshot((seen(1),), (known(1),), (), {("chat", "champion"): 1}))


def test_a_version_that_a_person_retired_is_refused_every_role() -> None:
    record = only_status(Snapshot((seen(1),), (known(1),), (), retired={"chat@1": ADA}))
    assert (record.event, record.reason) == ("Retired", "ada retired it: it leaks")
    assert set(record.status["refuses"]) == {"shadow", "canary", "production"}
    assert "it leaks" in record.status["refuses"]["shadow"]


def test_a_version_in_use_is_not_retired_before_that_ends() -> None:
    record = only_status(Snapshot((seen(1),), (known(1),), (Use("web", "chat", 1),), retired={"chat@1": ADA}))
    assert record.status["phase"] == "production"
    assert "ada retired it (it leaks), which waits for that to end" in record.reason


def test_a_retired_version_stays_retired_whatever_a_deployment_says_and_that_is_told_once() -> None:
    before = Snapshot((seen(1),), (known(1, Stage.RETIRED),), (Use("web", "chat", 1),), retired={"chat@1": ADA})
    record = only_status(before)
    assert (record.status["phase"], record.event, record.quiet) == ("retired", "Refused", False)
    assert "deployment web names it, but chat@1 was retired by ada: it leaks" in record.reason


def test_a_version_that_is_taken_back_begins_anew() -> None:
    record = only_status(Snapshot((seen(1),), (known(1, Stage.RETIRED),), ()))
    assert (record.event, record.status["phase"], record.status["refuses"]) == ("Restored", "registered", {})


@pytest.mark.parametrize("role", [Stage.CANARY, Stage.PRODUCTION])
def test_a_version_whose_gate_failed_gets_no_users(role: Stage) -> None:
    version = known(1, gate=GATE_FAILED)
    record = only_status(Snapshot((seen(1, gate=GATE_FAILED),), (version,), (Use("web", "chat", 1, role),)))
    assert (record.status["phase"], record.event) == ("registered", "Refused")
    assert "failed its evaluation gate (accuracy 0.81, needed 0.92)" in record.reason
    assert set(record.status["refuses"]) == {"canary", "production"}


def test_a_version_whose_gate_failed_may_be_a_shadow() -> None:
    version = known(1, gate=GATE_FAILED)
    uses = (Use("web", "chat", 1, Stage.SHADOW),)
    assert only_status(Snapshot((seen(1, gate=GATE_FAILED),), (version,), uses)).status["phase"] == "shadow"


def test_a_person_may_override_the_gate() -> None:
    version, uses = known(1, gate=GATE_FAILED), (Use("web", "chat", 1, Stage.CANARY),)
    record = only_status(Snapshot((seen(1, gate=GATE_FAILED),), (version,), uses, overridden={"chat@1": ADA}))
    assert (record.status["phase"], record.status["refuses"]) == ("canary", {})


def test_what_serves_goes_on_when_its_gate_fails_later() -> None:
    version = known(1, Stage.PRODUCTION, gate=GATE_FAILED)
    record = only_status(Snapshot((seen(1, gate=GATE_FAILED),), (version,), (Use("web", "chat", 1),)))
    assert record.status["phase"] == "production"


def test_a_version_that_mlflow_forgot_goes_unless_a_deployment_works_with_it() -> None:
    (gone,) = decide(Snapshot((), (known(1),), ())).records
    assert isinstance(gone, Remove)
    kept = only_status(Snapshot((), (known(1, Stage.PRODUCTION),), (Use("web", "chat", 1),)))
    assert kept.status["phase"] == "production"
    assert kept.reason.endswith("MLflow has it no more")


def test_one_pass_does_not_last_for_ever() -> None:
    many = range(1, 3 * AT_ONCE)
    uses = tuple(Use("web", f"m{n}", 1) for n in many)
    snapshot = Snapshot(tuple(seen(1, f"m{n}") for n in many), tuple(known(1, model=f"m{n}") for n in many), uses)
    assert len(decide(snapshot).effects) == AT_ONCE


def test_every_stage_and_happening_has_an_answer_and_none_leaves_retirement_but_by_a_person() -> None:
    refused = {pair for pair in itertools.product(Stage, Happening) if pair not in TRANSITIONS}
    assert {(stage, Happening.BARRED) for stage in Stage} <= refused
    assert {(stage, Happening.TAKEN_OUT) for stage in Stage if stage.in_use} <= refused
    assert {happening for stage, happening in TRANSITIONS if stage is Stage.RETIRED} == {
        Happening.TAKEN_OUT,
        Happening.RESTORED,
    }
    assert set(TRANSITIONS.values()) == set(Stage)


def stored_deployment(**status: Any) -> Object:
    spec = {"spec": {"model": "chat"}}
    return Object("Deployment", "web", "u", 1, 1, spec, status, 0.0, 0.0)


def roles(**status: Any) -> dict[int, Stage]:
    return {use.version: use.stage for use in uses_of([stored_deployment(**status)])}


def test_a_version_is_a_canary_only_beside_another_that_takes_traffic() -> None:
    arms = [{"version": 1, "weight": 0.9}, {"version": 2, "weight": 0.1}]
    rollout = {"stage": "Stepping", "stable": {"version": 1}, "target": {"version": 2}}
    assert roles(arms=arms, rollout=rollout) == {1: Stage.PRODUCTION, 2: Stage.CANARY}
    assert roles(arms=arms[1:], rollout={"target": {"version": 2}}) == {2: Stage.PRODUCTION}
    assert roles(arms=arms, rollout={"stable": {"version": 1}, "target": None}) == {
        1: Stage.PRODUCTION,
        2: Stage.PRODUCTION,
    }


def test_a_shadow_gets_copies_and_what_may_be_switched_back_to_stands_by() -> None:
    arms = [{"version": 2, "weight": 1.0}]
    rollout = {"stage": "Keeping", "stable": {"version": 1}, "target": {"version": 2}}
    found = roles(arms=arms, shadows=[{"version": 3, "share": 0.5}], rollout=rollout)
    assert found == {1: Stage.REGISTERED, 2: Stage.PRODUCTION, 3: Stage.SHADOW}


def test_what_stands_by_is_not_retired_and_not_forgotten() -> None:
    standing = (Use("web", "chat", 1, Stage.REGISTERED),)
    record = only_status(Snapshot((seen(1),), (known(1, Stage.PRODUCTION),), standing, retired={"chat@1": ADA}))
    assert record.status["phase"] == "registered"
    assert record.reason.startswith("deployment web keeps it ready; ada retired it (it leaks), which waits")
    kept = only_status(Snapshot((), (known(1),), standing))
    assert kept.reason == "deployment web keeps it ready; MLflow has it no more"


def test_the_deployment_record_tells_the_life_of_a_version() -> None:
    plane = plane_with(1, deployment())
    plane.settle()
    plane.mlflow.register("chat", "second")
    plane.settle()
    assert [e.event for e in plane.store.events("ModelVersion", "chat@1")] == ["Registered", "Production", "Withdrawn"]
    assert [e.event for e in plane.store.events("ModelVersion", "chat@2")] == ["Registered", "Production"]
    assert plane.mlflow.aliases("production") == {"chat": 2}
    assert plane.mlflow.tags_of("chat@1")["biplane.stage"] == "registered"
    assert plane.mlflow.tags_of("chat@2")["biplane.deployment"] == "chat"
    plane.delete("Deployment", "chat")
    plane.settle()
    assert plane.mlflow.aliases("production") == {}
