"""What never happens to a version, whatever deployments, people and crashes do; and that MLflow ends up showing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from control.kernel.loop import Loop
from control.kernel.plan import Effect, PutSpec, PutStatus, Record, Remove
from control.kernel.store import Store
from control.registry.actor import Registry
from control.registry.catalogue import SWEEP_SECONDS, Catalogue
from control.registry.decide import decide, next_stage
from control.registry.state import TRANSITIONS, Gate, Ruling, Snapshot, Stage, Use
from control.registry.view import OVERRIDE, RETIREMENT, known_version
from tests.control.registry.world import GATE_FAILED, known, seen
from tests.fakes.clock import FakeClock
from tests.fakes.fuse import Crash, FragileStore, Fuse
from tests.fakes.mlflow import FakeMlflow

VERSIONS = (1, 2, 3)
ROLES = [stage for stage in Stage if stage.in_use]
WORKS = [Stage.REGISTERED, *ROLES]
names = st.sampled_from([f"chat@{version}" for version in VERSIONS])
rulings = st.dictionaries(names, st.just(Ruling("ada", "so she said")))


@st.composite
def looks(draw: st.DrawFn) -> Snapshot:
    gates = {version: draw(st.sampled_from(["", "passed", GATE_FAILED])) for version in VERSIONS}
    uses = draw(
        st.lists(st.builds(Use, st.just("web"), st.just("chat"), st.sampled_from(VERSIONS), st.sampled_from(WORKS)))
    )
    return Snapshot(
        seen=tuple(seen(version, gate=gates[version]) for version in VERSIONS if draw(st.booleans())),
        known=tuple(known(v, draw(st.sampled_from(list(Stage))), gate=gates[v]) for v in VERSIONS),
        uses=tuple(uses),
        aliases=draw(st.dictionaries(st.tuples(st.just("chat"), st.just("production")), st.sampled_from(VERSIONS))),
        retired=draw(rulings),
        overridden=draw(rulings),
    )


@settings(max_examples=60, deadline=None)
@given(looks())
def test_a_pass_never_records_a_stage_that_the_table_does_not_have(snapshot: Snapshot) -> None:
    before = {version.name: version for version in snapshot.known}
    for record in decide(snapshot).records:
        uses = [use for use in snapshot.uses if f"{use.model}@{use.version}" == record.name]
        if isinstance(record, Remove):
            assert not before[record.name].stage.in_use
            assert not uses
        if not isinstance(record, PutStatus):
            continue
        version, after = before[record.name], Stage(record.status["phase"])
        happening, stage = next_stage(version, uses, snapshot)
        assert after is TRANSITIONS.get((version.stage, happening), version.stage)
        assert (stage is None) == ((version.stage, happening) not in TRANSITIONS)
        if after is Stage.RETIRED:
            assert record.name in snapshot.retired, "only a person retires a version"
            assert version.stage is Stage.RETIRED or not uses, "and never one that is in use"
        if after.answers and not version.stage.answers:
            assert version.gate[0] is not Gate.FAILED or record.name in snapshot.overridden


class World:
    """A registry on a store and an MLflow, with deployments and people who only write their own objects."""

    def __init__(self, lengths: list[int]) -> None:
        self.fuse = Fuse(lengths)
        self.store = FragileStore("sqlite://", self.fuse)
        self.mlflow, self.clock = FakeMlflow(), FakeClock()
        for version in VERSIONS:
            self.mlflow.register("chat", f"key-{version}", **({"biplane.gate": GATE_FAILED} if version == 3 else {}))
        self.start()

    def start(self) -> None:
        registry = Registry(Catalogue(self.mlflow))
        self.loop: Loop[Any] = Loop(
            cast("Any", registry), self.store, self._fragile(registry.catalogue.act), self.clock
        )

    def _fragile(self, act: Callable[[Effect], None]) -> Callable[[Effect], None]:
        def act_or_die(effect: Effect) -> None:
            self.fuse.point()
            act(effect)
            self.fuse.point()

        return act_or_die

    def write(self, *records: Record) -> None:
        Store.commit(self.store, records, who="ada", now=self.clock())

    def deploy(self, **status: Any) -> None:
        made = PutSpec(kind="Deployment", name="web", event="Applied", reason="", spec={"spec": {"model": "chat"}})
        self.write(made, PutStatus(kind="Deployment", name="web", event="Ready", reason="", status=status))

    def turn(self) -> None:
        self.clock.tick()
        try:
            self.loop.turn()
        except Crash:
            self.start()


def arms(**weights: float) -> list[dict[str, Any]]:
    return [{"version": int(name[1:]), "weight": weight} for name, weight in weights.items()]


def rule(kind: str, name: str) -> Callable[[World], None]:
    spec = {"by": "ada", "reason": "so she said"}
    return lambda world: world.write(PutSpec(kind=kind, name=name, event="Ruled", reason="", spec=spec))


def lift(kind: str, name: str) -> Callable[[World], None]:
    return lambda world: world.write(Remove(kind=kind, name=name, event="Lifted", reason=""))


happenings = st.sampled_from(
    [
        lambda world: world.deploy(arms=arms(v1=1.0)),
        lambda world: world.deploy(arms=arms(v1=1.0), shadows=[{"version": 2}]),
        lambda world: world.deploy(
            arms=arms(v1=0.9, v2=0.1), rollout={"stable": {"version": 1}, "target": {"version": 2}}
        ),
        lambda world: world.deploy(arms=arms(v2=1.0)),
        lambda world: world.deploy(
            arms=arms(v2=0.9, v3=0.1), rollout={"stable": {"version": 2}, "target": {"version": 3}}
        ),
        lambda world: world.deploy(),
        rule(RETIREMENT, "chat@1"),
        lift(RETIREMENT, "chat@1"),
        rule(OVERRIDE, "chat@3"),
        lambda world: world.mlflow.delete("chat@2"),
        lambda world: world.mlflow.tag("chat@1", **{"biplane.stage": "somebody else wrote this"}),
    ]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(happenings, max_size=6), st.lists(st.integers(0, 12), max_size=5))
def test_after_a_crash_at_any_point_mlflow_comes_to_show_the_record(
    story: list[Callable[[World], None]], lengths: list[int]
) -> None:
    world = World(lengths)
    for happen in story:
        happen(world)
        world.turn()
    for _ in range(12):
        world.turn()
    world.clock.tick(SWEEP_SECONDS)
    for _ in range(4):
        world.turn()
    versions = [known_version(o) for o in world.store.list("ModelVersion")]
    present = {version.name for version in world.mlflow.registered}
    for stage in ROLES:
        at = [version.version for version in versions if version.stage is stage and version.name in present]
        assert world.mlflow.aliases(stage.value) == ({"chat": max(at)} if at else {})
    for version in versions:
        if version.name in present and version.status.get("reason"):
            tags = world.mlflow.tags_of(version.name)
            assert tags["biplane.stage"] == version.stage.value
            assert tags["biplane.reason"] == version.status["reason"]
    before = (world.store.revision(), dict(world.mlflow.marks), list(world.mlflow.registered))
    world.turn()
    assert before == (world.store.revision(), world.mlflow.marks, world.mlflow.registered), "and then rests"
