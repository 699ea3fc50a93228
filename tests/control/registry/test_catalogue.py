"""What MLflow has is known without asking for all of it again and again."""

from __future__ import annotations

import math

import pytest

from control.kernel.plan import EnsureAlias, Remove
from control.kernel.store import Store
from control.registry.actor import Registry
from control.registry.catalogue import OVERLAP_SECONDS, SWEEP_SECONDS, Catalogue
from control.registry.lineage import LONGEST, MOST_ENTRIES, spec_of
from control.registry.mirror import EnsureTags
from control.registry.state import Registration, Run
from tests.control.registry.world import GATE_FAILED, registration
from tests.fakes.mlflow import FakeMlflow

MANY = 10_000


def ensure_tags(**tags: str) -> EnsureTags:
    return EnsureTags(kind="ModelVersion", name="chat@1", reason="", model="chat", version=1, tags=tags)


def crowded(versions: int) -> FakeMlflow:
    mlflow = FakeMlflow()
    mlflow.registered = [
        Registration(f"m{n}", 1, f"run{n}", "s3://m", {}, created_ms=n + 1, updated_ms=(n + 1) * 1000)
        for n in range(versions)
    ]
    return mlflow


def refuse(_: object) -> None:
    raise ConnectionError("MLflow does not answer")


def test_ten_thousand_versions_cost_one_call_a_pass_and_no_rows() -> None:
    mlflow = crowded(MANY)
    catalogue = Catalogue(mlflow)
    assert len(catalogue.look(0.0)) == MANY
    now = OVERLAP_SECONDS
    mlflow.calls = mlflow.read = 0
    for _ in range(10):
        assert len(catalogue.look(now)) == MANY
    assert (mlflow.calls, mlflow.read) == (10, 10), "the newest version is read again, nothing else"


def test_a_version_that_somebody_else_registers_is_seen_by_the_next_look_with_its_run() -> None:
    mlflow = FakeMlflow()
    catalogue = Catalogue(mlflow)
    assert catalogue.look(0.0) == ()
    mlflow.logged["run-1"] = Run(False, "ada", {"base-model": "tiny"}, {"loss": 0.5}, {"biplane.run": "tune-1"})
    mlflow.register("chat", "key", accuracy="0.96")
    (found,) = catalogue.look(0.2)
    assert found.spec["lineage"]["base_model"] == "tiny"
    assert found.spec["lineage"]["workflow_run"] == "tune-1"
    assert found.spec["metrics"] == {"accuracy": 0.96, "loss": 0.5}
    assert found.spec["registered_by"] == "ada"


def test_a_version_whose_time_of_change_was_taken_before_that_of_a_known_one_is_seen_too() -> None:
    mlflow = FakeMlflow()
    catalogue = Catalogue(mlflow)
    mlflow.register("chat", "first")
    catalogue.look(0.0)
    mlflow.now_ms -= 5000
    mlflow.register("chat", "slow to commit")
    assert [one.name for one in catalogue.look(1.0)] == ["chat@1", "chat@2"]


def test_tags_and_deletions_are_seen_by_the_next_full_look() -> None:
    mlflow = FakeMlflow()
    catalogue = Catalogue(mlflow)
    for key in ("a", "b"):
        mlflow.register("chat", key)
    catalogue.look(0.0)
    mlflow.now_ms += int(OVERLAP_SECONDS * 1000)
    mlflow.register("other", "newest")
    catalogue.look(1.0)
    mlflow.tag("chat@1", **{"biplane.gate": GATE_FAILED})
    mlflow.delete("chat@2")
    late = [one.name for one in catalogue.look(1.0 + OVERLAP_SECONDS)]
    assert late == ["chat@1", "chat@2", "other@1"]
    first, other = catalogue.look(SWEEP_SECONDS)
    assert (first.spec["gate"]["state"], other.name) == ("failed", "other@1")


def test_figures_of_a_run_that_is_not_over_are_read_again_and_those_of_others_are_not() -> None:
    mlflow = FakeMlflow()
    catalogue = Catalogue(mlflow)
    mlflow.register("chat", "key")
    mlflow.logged["run-1"] = Run(True, "", {}, {"loss": 0.9}, {})
    catalogue.look(0.0)
    mlflow.logged["run-1"] = Run(False, "", {}, {"loss": 0.1}, {})
    assert catalogue.look(SWEEP_SECONDS)[0].spec["metrics"] == {"loss": 0.1}
    mlflow.logged["run-1"] = Run(False, "", {}, {"loss": 7.0}, {})
    assert catalogue.look(2 * SWEEP_SECONDS)[0].spec["metrics"] == {"loss": 0.1}


def test_what_we_did_ourselves_is_known_without_looking() -> None:
    mlflow = FakeMlflow()
    catalogue = Catalogue(mlflow)
    mlflow.register("chat", "key")
    catalogue.look(0.0)
    catalogue.act(EnsureAlias(kind="", name="", reason="", model="chat", alias="canary", version=1))
    catalogue.act(ensure_tags(**{"biplane.stage": "canary"}))
    (found,) = catalogue.look(1.0)
    assert (catalogue.pointers, found.mirrored) == ({("chat", "canary"): 1}, {"biplane.stage": "canary"})
    assert Catalogue(mlflow).look(0.0) == (found,), "whoever starts anew sees the same"


def test_a_look_that_fails_half_way_is_as_if_it_had_not_been(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = FakeMlflow()
    catalogue = Catalogue(mlflow)
    catalogue.look(0.0)
    mlflow.register("chat", "key")
    with monkeypatch.context() as broken:
        broken.setattr(mlflow, "runs", refuse)
        with pytest.raises(ConnectionError):
            catalogue.look(1.0)
    assert [one.name for one in catalogue.look(2.0)] == ["chat@1"]


def test_a_mirror_tag_is_no_fact_about_a_version() -> None:
    plain = spec_of(registration(1), None)
    assert spec_of(registration(1, **{"biplane.stage": "canary"}), None) == plain


def test_what_is_stored_of_a_version_is_bounded_and_can_be_written_as_json() -> None:
    parameters = {f"p{n:04}": "x" * 9_999 for n in range(500)}
    run = Run(False, "", parameters, {"loss": math.nan, **{f"m{n}": 1.0 for n in range(500)}}, {})
    spec = spec_of(registration(1, note="y" * 99_999), run)
    assert len(spec["parameters"]) == len(spec["metrics"]) == MOST_ENTRIES
    assert max(map(len, (*spec["parameters"].values(), *spec["tags"].values()))) == LONGEST
    assert spec_of(registration(1), Run(False, "", {}, {"loss": math.nan}, {}))["metrics"] == {"loss": "nan"}


@pytest.mark.parametrize(
    ("tag", "verdict"),
    [
        ("passed", {"state": "passed", "reason": ""}),
        (GATE_FAILED, {"state": "failed", "reason": "accuracy 0.81, needed 0.92"}),
        ("maybe", {"state": "none", "reason": ""}),
    ],
)
def test_the_gate_is_what_its_tag_says(tag: str, verdict: dict[str, str]) -> None:
    assert spec_of(registration(1, **{"biplane.gate": tag}), None)["gate"] == verdict


def test_the_accuracy_of_the_run_stands_in_for_one_that_the_version_lacks() -> None:
    run = Run(False, "", {}, {"heldout_accuracy": 0.93}, {})
    assert spec_of(registration(1), run)["metrics"]["accuracy"] == 0.93
    assert spec_of(registration(1, accuracy="0.91"), run)["metrics"]["accuracy"] == 0.91


def test_a_registry_that_starts_anew_forgets_no_version() -> None:
    store, mlflow = Store("sqlite://"), crowded(1500)
    for now in (1.0, 2.0):
        registry = Registry(Catalogue(mlflow))
        plan = registry.decide(registry.observe(store, now))
        assert not any(isinstance(record, Remove) for record in plan.records)
        store.commit(plan.records, who="registry", now=now)
    assert len(store.list("ModelVersion")) == 1500


def test_what_was_taken_over_is_read_back_and_needs_nothing() -> None:
    store, mlflow = Store("sqlite://"), FakeMlflow()
    mlflow.register("chat", "key")
    registry = Registry(Catalogue(mlflow))
    store.commit(registry.decide(registry.observe(store, 1.0)).records, who="registry", now=1.0)
    again = registry.observe(store, 2.0)
    assert [one.name for one in again.known] == ["chat@1"]
    assert not registry.decide(again)
