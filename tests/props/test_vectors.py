"""What never happens to a shard, whatever dies in whatever order: two leaders of one epoch, or an acknowledged write
that its leader lacks; and when everything lives again it serves, with all of its replicas.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from control.kernel.ids import ReplicaName
from control.kernel.store import Conflict
from control.vectors.state import Phase
from tests.control.vectors.world import World, collection, node
from tests.fakes.fuse import Crash, Fuse

Happening = Callable[[World, int], None]
NODES = 4


def of(world: World, pick: int) -> str | None:
    actors = sorted(world.replicas.processes)
    return actors[pick % len(actors)] if actors else None


def kill(world: World, pick: int) -> None:
    if actor := of(world, pick):
        world.replicas.kill(actor)


def revive(world: World, pick: int) -> None:
    if (actor := of(world, pick)) and not world.replicas.processes[actor].alive:
        world.replicas.revive(actor)


def cut_off(world: World, pick: int) -> None:
    if actor := of(world, pick):
        world.replicas.unreachable.add(actor)


def heal(world: World, pick: int) -> None:
    world.replicas.unreachable.clear()


def write(world: World, pick: int) -> None:
    """Whoever believes to lead takes a number of its own, and may or may not get it to others."""
    world.written += 1
    for actor in sorted(world.replicas.processes):
        world.replicas.write(actor, 100 * world.written + pick)


def send(world: World, pick: int) -> None:
    """Whoever believes to lead gets what it has to one other."""
    actors = sorted(world.replicas.processes)
    for actor in actors:
        world.replicas.send(actor, actors[pick % len(actors)])


def replicate(world: World, pick: int) -> None:
    world.replicas.replicate()


def lose_node(world: World, pick: int) -> None:
    names = [one.labels["biplane.io/node"] for one in world.plane.drive.alive_nodes]
    if len(names) > 1:
        world.remove_node(names[pick % len(names)])


def regain_nodes(world: World, pick: int) -> None:
    there = {one.labels["biplane.io/node"] for one in world.plane.drive.alive_nodes}
    world.plane.drive.alive_nodes += [node(f"n{n}") for n in range(NODES) if f"n{n}" not in there]


def resize(world: World, pick: int) -> None:
    world.plane.apply(collection(replicas=1 + pick % 4))


def elder(world: World, turns: int, seconds: float) -> None:
    """Another life of the control actor goes on from what it saw so many turns ago."""
    loop = world.plane.loops["vectors"]
    plan = loop.domain.decide(loop.domain.observe(world.plane.store, world.plane.clock()))
    for _ in range(turns):
        world.turn(seconds)
    try:
        world.plane.store.commit(plan.records, who="elder", now=world.plane.clock())
    except Conflict:
        return
    for effect in plan.effects:
        world.plane.drive.act(effect)


def overtaken(world: World, pick: int) -> None:
    elder(world, pick % 3, 4.0)


def crash(world: World, pick: int) -> None:
    world.plane.fuse.__dict__.update(Fuse([pick % 7]).__dict__)


def pass_time(world: World, pick: int) -> None:
    world.plane.clock.tick(float(pick))


happenings = st.sampled_from(
    [
        kill,
        kill,
        revive,
        revive,
        cut_off,
        heal,
        write,
        write,
        write,
        send,
        send,
        send,
        replicate,
        lose_node,
        regain_nodes,
        resize,
        overtaken,
        crash,
        pass_time,
        lambda world, pick: world.plane.restart(),
    ]
)


def turn(world: World, replicates: bool) -> None:
    try:
        world.turn(3.0, replicates=replicates)
    except Crash:
        world.plane.restart()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(happenings, st.integers(0, 60), st.integers(0, 4), st.booleans()), max_size=40))
def test_one_leader_an_epoch_nothing_acknowledged_is_lost_and_it_always_comes_back(
    story: list[tuple[Happening, int, int, bool]],
) -> None:
    world = World(NODES, collection())
    for _ in range(4):
        world.turn()
    for happen, pick, turns, replicates in story:
        try:
            happen(world, pick)
        except Crash:
            world.plane.restart()
        for _ in range(turns):
            turn(world, replicates)
        for leaders in world.replicas.leaders.values():
            assert len(leaders) == 1
    world.plane.fuse.__dict__.update(Fuse().__dict__)
    regain_nodes(world, 0)
    heal(world, 0)
    for actor in list(world.replicas.processes):
        if not world.replicas.processes[actor].alive:
            world.replicas.revive(actor)
    world.plane.apply(collection())
    world.settle(200)
    shard = world.shard()
    assert (shard.phase, len(shard.members), shard.ending) == (Phase.SERVING, 3, ())
    assert world.status()[0] == "Ready"
    assert len({one.node for one in shard.replicas}) == 3
    has = {number for _, number in world.replicas.disk(world.leader()).log}
    name = ReplicaName.parse(world.leader())
    assert name is not None
    assert world.replicas.acknowledged[name.collection, name.life, name.shard] <= has
    for leaders in world.replicas.leaders.values():
        assert len(leaders) == 1
