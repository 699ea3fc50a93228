"""What becomes of a collection for which another number of shards is wanted, while clients write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.vectors.routing import shard_of
from control.kernel.ids import ReplicaName
from control.kernel.plan import EndReplica, EnsureReplica
from control.specs.replica import Filling, Move, Source
from control.vectors.layouts import CLOSED_SECONDS, Layouts, is_ready, layouts_of, turn_of
from control.vectors.state import Phase, Shard, from_json, to_json
from tests.control.vectors.world import GIB, World, collection, node
from tests.fakes.replicas import part_of


def shard(number: int, layout: int = 0, parts: int = 1, **known: object) -> Shard:
    made = Shard(f"docs.x.{number}", "docs", "x", number, layout=layout, parts=parts, spent=layout + parts)
    return replace(made, **{"phase": Phase.SERVING, "members": (0,), "leader": 0, **known})  # type: ignore[arg-type]


OLD = (shard(0, parts=2), shard(1, parts=2))
NEXT = tuple(shard(number, 2, 3, filled=-1) for number in (2, 3, 4))


def test_the_greatest_layout_that_has_all_rows_serves() -> None:
    assert layouts_of((*OLD, *NEXT)) == Layouts(OLD, NEXT)
    filled = tuple(replace(one, filled=9) for one in NEXT)
    assert layouts_of((*OLD, *filled)) == Layouts(filled)
    assert layouts_of((*OLD, *filled[:2], NEXT[2])) == Layouts(OLD, (*filled[:2], NEXT[2]))


def test_a_layout_that_is_given_up_serves_never_though_some_of_its_shards_are_filled() -> None:
    ending = replace(NEXT[0], phase=Phase.ENDING)
    filled = tuple(replace(one, filled=9) for one in NEXT[1:])
    assert layouts_of((*OLD, ending, *filled)).serving == OLD
    assert layouts_of((*OLD, *filled)).serving == OLD


def test_shards_that_two_lives_of_control_made_of_two_specs_are_no_layout_together() -> None:
    stray = tuple(shard(number, 0, 4) for number in (2, 3))
    assert layouts_of((*OLD, *stray)) == Layouts(OLD)


def test_a_shard_of_an_older_plane_is_one_of_the_only_layout() -> None:
    told = to_json(OLD[1])
    for name in ("layout", "parts", "filled", "attempt", "closed", "turned", "spent"):
        del told[name]
    read = from_json("docs.x.1", told, since=1.0, revision=2, generation=3)
    assert (read.part, read.parts, read.filled, read.closed) == (1, 0, 0, False)  # `view` counts the parts
    assert from_json("docs.x.1", to_json(OLD[1]), since=0.0, revision=0, generation=0) == OLD[1]


def test_numbers_of_shards_that_are_gone_do_not_come_again() -> None:
    (serving, *_) = begun = turn_of(Layouts(OLD), OLD, 3, ready=True, now=0.0).shards  # type: ignore[union-attr]
    assert [(one.number, one.layout, one.parts, one.filled) for one in begun[2:]] == [
        (2, 2, 3, -1), (3, 2, 3, -1), (4, 2, 3, -1),
    ]  # fmt: skip
    again = turn_of(Layouts((serving, begun[1])), begun[:2], 4, ready=True, now=0.0)
    assert again is not None
    assert [one.number for one in again.shards[2:]] == [5, 6, 7, 8]


@pytest.mark.parametrize(("parts", "others"), [(1, 2), (2, 3), (3, 1), (4, 8), (5, 7)])
def test_every_row_has_its_source(parts: int, others: int) -> None:
    import pyarrow as pa

    ids = pa.array(range(3000), pa.int64())
    pairs = set(zip(shard_of(ids, parts).tolist(), shard_of(ids, others).tolist(), strict=True))
    old = tuple(shard(number, 0, parts) for number in range(parts))
    new = tuple(shard(parts + number, parts, others, filled=-1) for number in range(others))
    told = {(source.part, one.part) for one in new for source in (Layouts(old, new).move_of(one).fill or 1).sources}  # type: ignore[union-attr]
    assert told == pairs


def test_what_leaders_are_told() -> None:
    closed = tuple(replace(one, closed=True, attempt=4) for one in OLD)
    last = tuple(replace(one, attempt=4) for one in NEXT)
    layouts = Layouts(closed, last)
    assert layouts.move_of(closed[0]) == Move(feeds=True, closed=4)
    fill = layouts.move_of(last[1]).fill
    assert fill is not None
    assert (fill.part, fill.parts, fill.attempt) == (1, 3, 4)
    assert fill.sources == (Source(("vectors:docs:x:0:0",), 0, 2), Source(("vectors:docs:x:1:0",), 1, 2))
    assert Layouts(OLD).move_of(OLD[0]) == Move()


def test_a_shard_is_closed_for_a_few_seconds_at_most_and_what_was_filled_counts_no_more() -> None:
    closed = tuple(replace(one, closed=True, attempt=4, turned=100.0) for one in OLD)
    last = (replace(NEXT[0], attempt=4, filled=7), *(replace(one, attempt=4) for one in NEXT[1:]))
    known = (*closed, *last)
    assert turn_of(Layouts(closed, last), known, 3, ready=True, now=100.0 + CLOSED_SECONDS) is None
    late = turn_of(Layouts(closed, last), known, 3, ready=True, now=100.1 + CLOSED_SECONDS)
    assert late is not None
    opened = layouts_of(late.shards)
    assert [one.closed for one in opened.serving] == [False, False]
    assert [(one.filled, one.attempt) for one in opened.filling] == [(-1, 0)] * 3
    assert turn_of(opened, late.shards, 3, ready=True, now=101.0 + CLOSED_SECONDS) is None  # not again at once
    again = turn_of(opened, late.shards, 3, ready=True, now=200.0)
    assert again is not None
    assert {one.attempt for one in again.shards} == {5}


@pytest.mark.parametrize(
    ("filling", "ready"),
    [
        (None, False),
        (Filling(0.99, 0), False),
        (Filling(1.0, 101), False),
        (Filling(1.0, 100), True),
        (Filling(1.0, 0, "the source does not answer"), False),
    ],
)
def test_writes_wait_only_for_shards_that_are_close_behind(filling: Filling | None, ready: bool) -> None:
    assert is_ready(filling) is ready


def write(world: World, number: int) -> None:
    """As a client: to the shard that the table names for it."""
    shards = world.table()["docs"]["shards"]  # type: ignore[index]
    leader = shards[part_of(number, len(shards))]["leader"]
    if leader in world.replicas.processes:
        world.replicas.write(leader, number)


def numbers(world: World) -> set[int]:
    """That the leaders of the shards that serve have."""
    shards = world.table()["docs"]["shards"]  # type: ignore[index]
    found = set()
    for part, one in enumerate(shards):
        has = {number for _, number in world.replicas.disk(one["leader"]).log if number}
        assert {part_of(number, len(shards)) for number in has} <= {part}
        found |= has
    return found


def moved(world: World) -> None:
    """Time goes on in steps in which writes may wait."""
    for _ in range(40):
        world.turn()
    world.settle()


def test_rows_move_while_clients_write_and_the_old_shards_end() -> None:
    world = World(3, collection(shards=1))
    world.settle()
    for number in range(1, 30):
        write(world, number)
    world.plane.apply(collection(shards=3))
    phases = set()
    for number in range(30, 60):
        write(world, number)
        world.turn()
        phases.add(world.status()[0])
    world.settle()
    assert {"Moving", "Ready"} <= phases
    assert "Degraded" not in phases
    assert world.status() == ("Ready", "3 shards, 9 replicas")
    assert [(one.number, one.layout, one.parts, one.ending) for one in world.shards()] == [
        (1, 1, 3, ()), (2, 1, 3, ()), (3, 1, 3, ()),
    ]  # fmt: skip
    told = [event for event in world.events("Collection") if event.startswith("Move")]
    assert told == ["MoveBegun", "MoveCloses"]
    sent = {number for some in world.replicas.sent.values() for number in some}
    assert len(sent) > 50
    assert numbers(world) == sent
    assert {name.shard for one in world.replicas.processes if (name := ReplicaName.parse(one))} == {1, 2, 3}


def test_while_a_new_shard_has_no_place_the_old_ones_serve_on_and_the_reason_is_told() -> None:
    world = World(1, collection(shards=1, replicas=1))
    world.plane.drive.alive_nodes = [node("n0", gib=1)]
    world.settle()
    actor = world.leader()
    world.plane.store.beat(actor, {"memory_bytes": 700 << 20}, now=world.plane.clock())
    world.plane.apply(collection(shards=2, replicas=1))
    for _ in range(10):
        world.turn()
    phase, reason = world.status()
    assert phase == "Moving"
    assert "new shard 1: a replica has no place: n0 has 0.1 GiB of memory left" in reason
    write(world, 7)
    assert numbers(world) == {7}
    world.plane.drive.alive_nodes.append(node("n1", gib=8))
    moved(world)
    assert world.status()[0] == "Ready"
    assert numbers(world) == {7}


def test_a_move_is_undone_by_the_number_that_there_was() -> None:
    world = World(3, collection(shards=2))
    world.settle()
    write(world, 1)
    world.plane.apply(collection(shards=3))
    for _ in range(4):
        world.turn()
    assert len(world.shards()) == 5
    world.plane.apply(collection(shards=2))
    world.settle()
    assert [one.number for one in world.shards()] == [0, 1]
    assert not any(one.closed for one in world.shards())
    assert len(world.replicas.processes) == 6
    write(world, 2)
    assert numbers(world) == {1, 2}
    world.plane.apply(collection(shards=1))
    moved(world)
    assert [one.number for one in world.shards()] == [5]
    assert numbers(world) == {1, 2}


def test_a_collection_that_began_with_a_snapshot_fills_its_new_shards_from_the_old_ones_only() -> None:
    restored = collection(shards=1, replicas=1) + f"  restore: {{url: s3://b/one, sha256: {'a' * 64}}}\n"
    world = World(1, restored)
    world.settle()
    world.plane.apply(restored.replace("shards: 1", "shards: 2"))
    moved(world)
    asked = [one.request for one in world.plane.drive.acts if isinstance(one, EnsureReplica)]
    assert {(one.spec.shards, one.spec.restore is None) for one in asked} == {(1, False), (2, True)}
    assert {one.actor for one in world.plane.drive.acts if isinstance(one, EndReplica)} == {asked[0].actor}


def test_a_new_shard_needs_room_for_its_share_of_what_the_old_ones_have() -> None:
    world = World(1, collection(shards=1, replicas=1))
    world.plane.drive.alive_nodes = [node("n0", gib=32)]
    world.settle()
    world.plane.store.beat(world.leader(), {"memory_bytes": 20 * GIB}, now=world.plane.clock())
    world.plane.apply(collection(shards=4, replicas=1))
    world.turn()
    world.turn()
    assert "about 6.2 GiB are needed" in world.status()[1]
