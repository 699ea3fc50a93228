"""What never happens to a collection whose number of shards changes, whatever dies in whatever order: two layouts that
both take writes, a shard that is closed for ever, an acknowledged write that the layout which serves lacks; and when
everything lives again, one layout serves, the one that was wanted last.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from control.vectors.layouts import layouts_of
from control.vectors.state import Phase
from tests.control.vectors.test_layouts import numbers, write
from tests.control.vectors.world import World, collection, node
from tests.fakes.fuse import Crash, Fuse
from tests.props.test_vectors import (
    crash,
    cut_off,
    elder,
    heal,
    kill,
    lose_node,
    overtaken,
    pass_time,
    regain_nodes,
    revive,
)

Happening = Callable[[World, int], None]
NODES = 3


def writes(world: World, pick: int) -> None:
    for _ in range(1 + pick % 5):
        world.written += 1
        write(world, world.written)


def reshard(world: World, pick: int) -> None:
    world.plane.apply(collection(shards=1 + pick % 3))


def stale(world: World, pick: int) -> None:
    elder(world, pick % 4, 2.0)


def strike(world: World, pick: int) -> None:
    """Just when writes wait for the new shards, the leader of one of these dies; or is cut off from the old ones."""
    for _ in range(30):
        if any(one.closed for one in layouts_of(world.shards()).serving):
            break
        world.turn()
        writes(world, 0)
    filling = [one for one in layouts_of(world.shards()).filling if one.leader is not None]
    if filling:
        struck = filling[pick % len(filling)]
        actor = str(struck.called(struck.leader or 0))
        world.replicas.unreachable.add(actor)
        if pick % 2 and actor in world.replicas.processes:
            world.replicas.kill(actor)


happenings = st.sampled_from(
    [
        strike,
        strike,
        writes,
        writes,
        writes,
        writes,
        reshard,
        reshard,
        kill,
        kill,
        revive,
        revive,
        cut_off,
        heal,
        stale,
        stale,
        overtaken,
        crash,
        pass_time,
        lose_node,
        regain_nodes,
        lambda world, pick: world.plane.restart(),
    ]
)


def check(world: World) -> None:
    """Whoever is open to clients, and named to them, is of one layout."""
    shards = world.table()["docs"]["shards"]  # type: ignore[index]
    known = layouts_of(world.shards())
    assert [one["shard"] for one in shards] == [one.number for one in known.serving]
    for leaders in world.replicas.leaders.values():
        assert len(leaders) == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(happenings, st.integers(0, 60), st.integers(0, 6)), max_size=40))
def test_one_layout_serves_and_has_all_that_was_acknowledged(story: list[tuple[Happening, int, int]]) -> None:
    world = World(NODES, collection(shards=2))
    for _ in range(4):
        world.turn()
    for happen, pick, turns in story:
        for act in (happen, *[None] * turns):
            try:
                if act is None:
                    world.turn()
                else:
                    act(world, pick)
            except Crash:
                world.plane.restart()
        check(world)
    world.plane.fuse.__dict__.update(Fuse().__dict__)
    regain_nodes(world, 0)
    there = {one.labels["biplane.io/node"] for one in world.plane.drive.alive_nodes}
    world.plane.drive.alive_nodes += [node(f"n{n}") for n in range(NODES) if f"n{n}" not in there]
    heal(world, 0)
    for actor in list(world.replicas.processes):
        if not world.replicas.processes[actor].alive:
            world.replicas.revive(actor)
    world.plane.apply(collection(shards=3))
    for _ in range(150):
        world.turn()
    world.settle(200)
    shards = world.shards()
    assert {(one.layout, one.parts, one.phase, one.closed) for one in shards} == {
        (shards[0].number, 3, Phase.SERVING, False)
    }
    assert world.status() == ("Ready", "3 shards, 9 replicas")
    acknowledged: set[int] = set()
    for key, sent in world.replicas.sent.items():
        acknowledged |= sent & world.replicas.acknowledged[key]
    assert acknowledged <= numbers(world)
    writes(world, 4)
    assert world.written in numbers(world)
