"""Which versions exist and where each is; MLflow is observed, the deployment record is ours."""

from __future__ import annotations

from control.kernel.plan import Create, EnsureAlias, PutStatus
from control.kernel.store import Store
from control.registry.actor import Registry
from control.registry.decide import decide
from control.registry.state import KnownVersion, SeenVersion, Serving, Snapshot, Stage, version_name
from tests.control.router.world import deployment, plane_with
from tests.fakes.mlflow import FakeMlflow


def seen(version: int, model: str = "chat") -> SeenVersion:
    return SeenVersion(model, version, f"run-{version}", f"s3://{model}/{version}", {"accuracy": "0.9"})


def known(version: int, stage: Stage = Stage.REGISTERED, model: str = "chat") -> KnownVersion:
    return KnownVersion(version_name(model, version), 40 + version, model, version, stage)


def test_a_version_that_mlflow_has_is_taken_over_with_where_it_is_and_where_it_comes_from() -> None:
    (record,) = decide(Snapshot((seen(1),), (), ())).records
    assert isinstance(record, Create)
    assert (record.kind, record.name, record.event, record.reason) == (
        "ModelVersion",
        "chat@1",
        "Registered",
        "MLflow run run-1",
    )
    assert record.spec == {
        "model": "chat",
        "version": 1,
        "run_id": "run-1",
        "source": "s3://chat/1",
        "tags": {"accuracy": "0.9"},
    }


def test_what_is_known_and_as_it_should_be_needs_nothing() -> None:
    versions = (known(1), known(2, Stage.PRODUCTION))
    assert not decide(Snapshot((seen(1), seen(2)), versions, (Serving("web", "chat", 2),), {"chat": 2}))


def test_a_version_that_serves_is_in_production_and_mlflow_is_told() -> None:
    plan = decide(Snapshot((seen(1),), (known(1),), (Serving("web", "chat", 1),)))
    (record,) = plan.records
    assert isinstance(record, PutStatus)
    assert (record.event, record.reason, record.revision) == ("Production", "deployment web serves it", 41)
    assert record.status["phase"] == "production"
    (effect,) = plan.effects
    assert isinstance(effect, EnsureAlias)
    assert (effect.model, effect.alias, effect.version, effect.name) == ("chat", "production", 1, "chat@1")


def test_a_version_that_serves_no_more_is_withdrawn_and_its_alias_removed() -> None:
    plan = decide(Snapshot((seen(1),), (known(1, Stage.PRODUCTION),), (), {"chat": 1}))
    (record,) = plan.records
    assert (record.event, record.reason) == ("Withdrawn", "no deployment serves it any more")
    (effect,) = plan.effects
    assert isinstance(effect, EnsureAlias)
    assert (effect.version, effect.name) == (None, "chat@1")


def test_while_two_versions_serve_the_alias_is_at_the_newer() -> None:
    serving = (Serving("web", "chat", 2), Serving("old", "chat", 1))
    (effect,) = decide(Snapshot((), (), serving, {"chat": 1})).effects
    assert isinstance(effect, EnsureAlias)
    assert effect.version == 2


def test_models_do_not_disturb_each_other() -> None:
    versions = (known(1, Stage.PRODUCTION), known(1, model="other"))
    assert not decide(Snapshot((), versions, (Serving("web", "chat", 1),), {"chat": 1}))


def test_what_was_taken_over_is_read_back_as_known() -> None:
    store, mlflow = Store("sqlite://"), FakeMlflow()
    mlflow.register("chat", "key")
    registry = Registry(mlflow)
    store.commit(registry.decide(registry.observe(store, 1.0)).records, who="registry", now=1.0)
    again = registry.observe(store, 2.0)
    assert [(v.name, v.stage) for v in again.known] == [("chat@1", Stage.REGISTERED)]
    assert not registry.decide(again)


def test_the_deployment_record_tells_the_life_of_a_version() -> None:
    plane = plane_with(1, deployment())
    plane.settle()
    plane.mlflow.register("chat", "second")
    plane.settle()
    assert [e.event for e in plane.store.events("ModelVersion", "chat@1")] == ["Registered", "Production", "Withdrawn"]
    assert [e.event for e in plane.store.events("ModelVersion", "chat@2")] == ["Registered", "Production"]
    assert plane.mlflow.aliases("production") == {"chat": 2}
    plane.delete("Deployment", "chat")
    plane.settle()
    assert plane.mlflow.aliases("production") == {}
