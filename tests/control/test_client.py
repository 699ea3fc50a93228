"""The typed way in: goals are written all or none, and what is observed is told as it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from control.client import Client, NoPlane, NotDeletable, NotFound, kind_of
from control.kernel.bell import Bell
from control.kernel.home import Home
from control.kernel.plan import Note, PutSpec, PutStatus
from control.kernel.store import Event, Object
from control.preflight import Refused
from control.specs.load import load_text
from control.specs.problem import SpecError
from tests.control.router.world import deployment
from tests.fakes.clock import FakeClock
from tests.fakes.home import SETTINGS, started
from tests.fakes.plane import CLUSTER, WORKFLOW, Plane

TOO_LARGE = deployment(devices=9)


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    return started(tmp_path)


@pytest.fixture
def client(plane: Plane, tmp_path: Path) -> Client:
    return Client(Home(tmp_path), who="ada", clock=FakeClock(2000.0))


def outcomes(client: Client, *texts: str, dry_run: bool = False) -> list[str]:
    documents = load_text("---\n".join(texts), "mine.yaml")
    return [one.outcome for one in client.apply(documents, dry_run=dry_run).applied]


def test_a_document_is_created_then_unchanged_then_changed(client: Client) -> None:
    assert outcomes(client, deployment()) == ["created"]
    assert outcomes(client, deployment()) == ["unchanged"]
    assert outcomes(client, deployment(replicas=2), WORKFLOW) == ["changed", "created"]
    (found,) = client.get("Deployment", "chat")
    assert found.generation == 2
    assert [(e.event, e.who, e.at) for e in client.events("Deployment", "chat")] == [
        ("Created", "ada", 2000.0),
        ("Changed", "ada", 2000.0),
    ]


def test_a_dry_run_says_the_same_and_writes_nothing(client: Client) -> None:
    before = client.store.revision()
    assert outcomes(client, deployment(), dry_run=True) == ["created"]
    assert (client.store.revision(), client.store.list("Deployment")) == (before, ())


def test_a_dry_run_needs_no_plane_and_makes_none(tmp_path: Path) -> None:
    home = tmp_path / "nothing"
    result = Client(Home(home)).apply(load_text(deployment(), "mine.yaml"), dry_run=True)
    assert [one.outcome for one in result.applied] == ["created"]
    (warning,) = result.warnings
    assert "no plane was started here" in str(warning)
    assert str(warning).startswith("mine.yaml:9: spec.devices: ")
    assert not home.exists()


def test_without_a_plane_there_is_nothing_to_apply_to(tmp_path: Path) -> None:
    with pytest.raises(NoPlane, match="biplane up"):
        Client(Home(tmp_path / "nothing")).apply(load_text(deployment(), "mine.yaml"))
    assert not (tmp_path / "nothing").exists()


def test_when_one_document_is_wrong_none_is_applied(client: Client) -> None:
    before = client.store.revision()
    with pytest.raises(SpecError, match=r"mine\.yaml:\d+: spec\.devices: 9 device\(s\) and 0 GiB of memory can never"):
        outcomes(client, WORKFLOW, TOO_LARGE.replace("chat", "large"))
    assert (client.store.revision(), client.store.list("Workflow")) == (before, ())


def test_it_names_kinds_in_any_case_and_number() -> None:
    for word in ("Deployment", "deployment", "deployments"):
        assert kind_of(word) == "Deployment"
    assert (kind_of("clusterpolicies"), kind_of("models")) == ("ClusterPolicy", "ModelVersion")


def test_an_unknown_kind_gets_the_nearest_and_else_the_list() -> None:
    with pytest.raises(NotFound, match=r"there is no kind 'deploymnt'; did you mean 'deployment'\?"):
        kind_of("deploymnt")
    with pytest.raises(NotFound, match="there are: apikey, cluster"):
        kind_of("xyzzy")


def test_an_unknown_name_gets_the_nearest(client: Client) -> None:
    outcomes(client, deployment())
    with pytest.raises(NotFound, match=r"there is no Deployment 'chart'; did you mean 'chat'\?"):
        client.get("Deployment", "chart")


def test_what_is_wanted_can_be_deleted_and_what_is_observed_cannot(client: Client) -> None:
    outcomes(client, deployment())
    client.delete("Deployment", "chat", dry_run=True)
    assert len(client.get("Deployment")) == 1
    client.delete("Deployment", "chat")
    assert client.get("Deployment") == ()
    with pytest.raises(NotDeletable, match="Node sim-0 is observed"):
        client.delete("Node", "sim-0")


def test_what_serves_is_deleted_only_when_it_is_to_be_drained(client: Client) -> None:
    outcomes(client, deployment())
    arms = {"arms": [{"version": 3, "weight": 1.0}]}
    client.commit(PutStatus(kind="Deployment", name="chat", event="Ready", reason="", status=arms))
    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"deployment chat serves version 3 \(100%\); --drain deletes it"):
            client.delete("Deployment", "chat", dry_run=dry_run)
    client.delete("Deployment", "chat", drain=True)
    assert client.get("Deployment") == ()


def test_what_sleeps_is_deleted_only_when_nobody_waits_for_it(client: Client) -> None:
    outcomes(client, deployment())
    client.store.beat("wake:chat", {}, now=1990.0)
    with pytest.raises(Refused, match="deployment chat was asked for 10 s ago"):
        client.delete("Deployment", "chat")
    client.store.beat("wake:chat", {}, now=1900.0)
    client.delete("Deployment", "chat")


def test_running_again_starts_the_run_that_it_names(client: Client, plane: Plane) -> None:
    outcomes(client, WORKFLOW)
    plane.settle()
    for name in ("tune-2", "tune-3"):
        assert client.rerun("tune") == name
        plane.settle()
        assert plane.run(name).status["phase"] == "Succeeded"
    assert [o.name for o in client.get("Run")] == ["tune-1", "tune-2", "tune-3"]


def test_a_workload_that_rests_because_ray_did_not_place_it_is_tried_anew_when_it_is_applied_again(
    client: Client, plane: Plane
) -> None:
    workload = "{apiVersion: biplane/v1, kind: Workload, metadata: {name: w}, spec: {type: batch, devices: 1}}"
    outcomes(client, workload)
    for status, generation in (({"phase": "Leased"}, 1), ({"phase": "Pending", "failed_binds": 5}, 2)):
        (found,) = client.get("Workload", "w")
        told = PutStatus(kind="Workload", name="w", event="Told", reason="test", revision=found.revision, status=status)
        plane.store.commit([told], who="scheduler", now=5.0)
        assert outcomes(client, workload) == ["unchanged"]
        assert client.get("Workload", "w")[0].generation == generation


def test_waiting_for_a_workflow_follows_its_run_to_the_end(client: Client, plane: Plane) -> None:
    outcomes(client, WORKFLOW)
    plane.settle()
    told: list[Event] = []
    settled = client.wait("Workflow", "tune", timeout=5, on_event=told.append)
    assert (settled.object.kind, settled.object.name, settled.well) == ("Run", "tune-1", True)
    assert [event.event for event in told][:: len(told) - 1] == ["Started", "Succeeded"]


def test_waiting_tells_a_failure_from_success(client: Client, plane: Plane) -> None:
    outcomes(client, WORKFLOW)
    plane.turn()
    plane.turn()
    plane.drive.fail(str(plane.step("data")), "ValueError: no")
    plane.turn()
    plane.turn()
    assert not client.wait("Run", "tune-1", timeout=5).well


def test_waiting_too_long_ends_with_the_reason_of_the_wait(client: Client, plane: Plane) -> None:
    outcomes(client, deployment())
    plane.turn()
    with pytest.raises(TimeoutError, match="Deployment/chat is still Waiting after 0 s: any version of model chat"):
        client.wait("Deployment", "chat", timeout=0)


def test_a_changed_deployment_is_not_taken_for_the_ready_one_that_it_was(client: Client, plane: Plane) -> None:
    plane.mlflow.register("chat", "k")
    outcomes(client, deployment())
    plane.settle()
    assert client.wait("Deployment", "chat", timeout=0).well
    outcomes(client, deployment(replicas=2))
    with pytest.raises(TimeoutError):
        client.wait("Deployment", "chat", timeout=0)
    plane.settle()
    assert client.wait("Deployment", "chat", timeout=0).well


def test_following_gives_each_event_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = client.follow("Thing", "one")

    def another(seconds: float) -> None:
        note = Note(kind="Thing", name="one", event="Noted", reason=str(len(client.events("Thing"))))
        client.store.commit((note, note), who="test", now=1.0)

    monkeypatch.setattr("control.client.time.sleep", another)
    assert [next(stream).reason for _ in range(6)] == ["0", "0", "2", "2", "4", "4"]


def test_status_names_the_control_actors_that_fell_silent(client: Client) -> None:
    client.store.beat("router", {}, now=1990.0)
    client.store.beat("scheduler", {}, now=1980.0)
    client.store.beat("engine:llm:chat:1:a:0:b", {"url": "http://here"}, now=1980.0)
    status = client.status()
    assert status.silent == ("scheduler",)
    assert status.urls == SETTINGS.urls
    assert {o.kind for o in status.objects} >= {"Cluster", "Node", "Table"}


def test_the_cluster_is_a_document_like_any_other(client: Client) -> None:
    assert outcomes(client, CLUSTER) == ["unchanged"]


def test_following_loses_no_event_of_a_burst(client: Client) -> None:
    notes = [Note(kind="Thing", name="one", event="Noted", reason=str(number)) for number in range(250)]
    client.store.commit(notes, who="test", now=1.0)
    stream = client.follow("Thing", "one")
    assert [next(stream).reason for _ in notes] == [note.reason for note in notes]


def test_a_rerun_does_not_undo_an_apply_that_came_between(
    client: Client, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.apply(WORKFLOW)
    changed = WORKFLOW.replace(">= 0.9", ">= 0.5")
    get = client.get

    def get_slowly(kind: str, name: str | None = None) -> tuple[Object, ...]:
        found = get(kind, name)
        plane.apply(changed)
        return found

    monkeypatch.setattr(client, "get", get_slowly)
    assert client.rerun("tune") == "tune-3"
    assert ">= 0.5" in str(plane.only("Workflow").spec)
    assert plane.only("Workflow").generation == 3


def test_applying_the_same_file_after_a_rerun_starts_no_third_run(client: Client, plane: Plane) -> None:
    outcomes(client, WORKFLOW)
    assert client.rerun("tune") == "tune-2"
    assert outcomes(client, WORKFLOW) == ["unchanged"]
    plane.settle()
    assert [o.name for o in client.get("Run")] == ["tune-2"]


@pytest.mark.parametrize("applied_again", [False, True])
def test_waiting_for_what_is_deleted_meanwhile_ends(client: Client, plane: Plane, applied_again: bool) -> None:
    outcomes(client, WORKFLOW)
    plane.turn()
    plane.turn()

    def delete(event: Event) -> None:
        if event.event != "Started":
            return
        plane.delete("Workflow", "tune")
        if applied_again:
            plane.apply(WORKFLOW)
        plane.turn()
        plane.turn()

    with pytest.raises(NotFound, match="Workflow tune was deleted meanwhile"):
        client.wait("Workflow", "tune", timeout=5, on_event=delete)


def test_a_plane_without_a_node_is_not_called_no_plane(client: Client, plane: Plane) -> None:
    plane.drive.alive_nodes = []
    plane.turn()
    (warning,) = client.apply(load_text(deployment(), "mine.yaml")).warnings
    assert "no node has joined yet: nothing says whether" in str(warning)
    assert "no plane was started" not in str(warning)


def test_what_is_applied_deleted_or_run_again_wakes_the_control_loops(client: Client) -> None:
    bell = Bell(client.home.bells, "listener")
    for act in (
        lambda: outcomes(client, WORKFLOW),
        lambda: client.rerun("tune"),
        lambda: client.delete("Workflow", "tune"),
    ):
        act()
        began = time.monotonic()
        bell.wait(10.0)
        assert time.monotonic() - began < 5.0
    outcomes(client, deployment(), dry_run=True)
    began = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - began >= 0.05, "a dry run disturbs nobody"
    bell.close()


def test_a_driver_is_told_why_its_workload_has_to_stop(client: Client) -> None:
    spec = {"kind": "Workload"}
    client.commit(PutSpec(kind="Workload", name="mine", event="Applied", reason="test", spec=spec))
    assert client.evicted("mine") == ""
    status = {"phase": "Evicting", "reason": "boss needs it", "eviction": {"by": "boss", "deadline": 1.0}}
    client.commit(PutStatus(kind="Workload", name="mine", event="Evicting", reason="test", status=status))
    assert client.evicted("mine") == "boss needs it"
    with pytest.raises(NotFound):
        client.evicted("yours")
