"""Names parse back into what they name, and into nothing else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from control.kernel.ids import (
    APP_WORKLOAD_PREFIX,
    GATEWAY_APP,
    STEP_WORKLOAD_PREFIX,
    VECTORS_WORKLOAD_PREFIX,
    AppName,
    ReplicaName,
    StepName,
    control_name,
    digest,
    run_name,
)
from control.specs.step import begun_file

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
tasks = st.from_regex(r"[A-Za-z0-9][-_A-Za-z0-9]{0,8}", fullmatch=True)
numbers = st.integers(1, 10_000)
steps = st.builds(StepName, st.builds(run_name, labels, numbers), labels, tasks, numbers)
json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
digests = st.builds(digest, json)
replicas = st.builds(ReplicaName, labels, digests, st.integers(0, 2000), st.integers(0, 100))
apps = st.builds(AppName, labels, numbers, digests, st.integers(0, 100), digests)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_a_step_name_parses_back(step: StepName) -> None:
    assert StepName.parse(str(step)) == step
    assert AppName.parse(str(step)) is None
    assert begun_file(str(step)) == f"begun.{step.attempt}"


@settings(max_examples=25, deadline=None)
@given(apps)
def test_an_application_name_parses_back(app: AppName) -> None:
    assert AppName.parse(str(app)) == app
    assert StepName.parse(str(app)) is None
    assert app.workload.startswith(APP_WORKLOAD_PREFIX)
    assert not app.workload.startswith(STEP_WORKLOAD_PREFIX)


@settings(max_examples=25, deadline=None)
@given(steps, steps)
def test_different_steps_have_different_workloads_unless_they_are_attempts_at_one(one: StepName, two: StepName) -> None:
    same = (one.run, one.life, one.task) == (two.run, two.life, two.task)
    assert (one.workload == two.workload) is same


@settings(max_examples=25, deadline=None)
@given(apps, apps)
def test_different_applications_have_different_names_and_routes(one: AppName, two: AppName) -> None:
    for of in (str, lambda app: app.route_prefix):
        assert (of(one) == of(two)) is (one == two)


@settings(max_examples=25, deadline=None)
@given(apps, apps)
def test_applications_share_a_workload_when_they_differ_in_its_lease_only(one: AppName, two: AppName) -> None:
    assert (one.workload == two.workload) is (replace(one, lease="") == replace(two, lease=""))


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=20))
def test_other_names_are_not_taken_for_ours(text: str) -> None:
    for strange in (text, f"step:{text}", f"llm:{text}"):
        for found in (StepName.parse(strange), AppName.parse(strange)):
            assert found is None or str(found) == strange or found.__class__.parse(str(found)) == found


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text(max_size=4), json, max_size=4))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))
    assert len(digest(value)) == 8


def test_the_names_of_the_plane_itself_name_no_step_and_no_model() -> None:
    for name in (GATEWAY_APP, control_name("router")):
        assert StepName.parse(name) is None
        assert AppName.parse(name) is None


@settings(max_examples=25, deadline=None)
@given(replicas)
def test_a_replica_name_parses_back_and_is_a_directory_of_its_own(replica: ReplicaName) -> None:
    assert ReplicaName.parse(str(replica)) == replica
    assert AppName.parse(str(replica)) is None
    assert replica.workload.startswith(VECTORS_WORKLOAD_PREFIX)
    assert replica.directory.split("/") == [
        f"{replica.collection}-{replica.life}",
        str(replica.shard),
        str(replica.replica),
    ]


def test_what_names_no_replica_is_none() -> None:
    for text in ("vectors:docs", "vectors:docs:0a:x:0", "vectors:docs:0a:0:0:0", "llm:docs:0a:0:0"):
        assert ReplicaName.parse(text) is None
