"""Where replicas go: apart from each other first, then evenly; and why a node will not do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.specs.collection import CollectionSpec, MetadataField
from control.specs.index_choice import choose
from control.specs.index_plan import bytes_of
from control.specs.vector_index import IndexKind, IndexSpec
from control.vectors.memory import FIRST_ROWS, bytes_for, needed
from control.vectors.placement import GIB, Room, place


def rooms(*found: Room) -> dict[str, Room]:
    return {room.node: room for room in found}


A, B, C = (Room(name, f"{name}-id", memory=8 * GIB) for name in "abc")


def test_the_second_replica_goes_to_another_node() -> None:
    assert place(rooms(A, B), ["a"], 2, GIB).node == "b"


def test_another_rack_is_better_than_a_node_with_fewer_replicas() -> None:
    near, far = replace(B, rack="r1"), replace(C, rack="r2", replicas=9)
    assert place(rooms(replace(A, rack="r1"), near, far), ["a"], 3, GIB).node == "c"


def test_nodes_are_filled_evenly() -> None:
    assert place(rooms(replace(A, replicas=2), B), [], 1, GIB).node == "b"
    assert place(rooms(replace(A, taken=GIB), B), [], 1, GIB).node == "b"


def test_two_share_a_node_only_where_there_are_fewer_nodes_than_replicas() -> None:
    assert place(rooms(A), ["a"], 2, GIB).node == "a"
    assert place(rooms(A, B), ["a", "b"], 3, GIB).node in "ab"
    refused = place(rooms(A, B, replace(C, taken=8 * GIB)), ["a", "b"], 3, GIB)
    assert refused.node == ""
    assert refused.reason == (
        "a has a replica of this shard already; b has a replica of this shard already; "
        "c has 0.0 GiB of memory left, about 1.0 GiB are needed"
    )


def test_a_cordoned_node_takes_nothing_new_and_says_why() -> None:
    assert place(rooms(replace(A, cordon="a fan hums")), [], 1, GIB).reason == "a takes nothing new: a fan hums"
    assert place({}, [], 1, GIB).reason == "no node has joined yet"


def test_a_node_that_says_nothing_of_its_memory_is_not_refused_for_it() -> None:
    assert place(rooms(replace(A, memory=0)), [], 1, 99 * GIB).node == "a"


@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["", "r1", "r2"]), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 5),
)
def test_replicas_are_never_together_while_a_node_with_room_is_free(
    nodes: list[tuple[int, str, bool]], wanted: int
) -> None:
    found = rooms(
        *(
            Room(f"n{i}", f"id{i}", rack, 8 * GIB, taken * GIB, cordon="no" if cordoned else "")
            for i, (taken, rack, cordoned) in enumerate(nodes)
        )
    )
    beside: list[str] = []
    for _ in range(wanted):
        choice = place(found, beside, wanted, GIB)
        assert choice.reason
        able = [room for room in found.values() if not room.cordon and room.fits(GIB)]
        if not choice.node:
            assert all(room.node in beside for room in able)
            return
        assert found[choice.node] in able
        if choice.node in beside:
            assert all(room.node in beside for room in able)
            assert sum(not room.cordon for room in found.values()) < wanted
        found[choice.node] = found[choice.node].with_one(GIB)
        beside.append(choice.node)


@pytest.mark.parametrize("kind", ["hnsw", "ivf_flat", "ivf_pq"])
def test_a_replica_takes_what_its_index_takes(kind: IndexKind) -> None:
    spec = CollectionSpec(dimension=128, index=IndexSpec(kind=kind))
    index = bytes_of(choose(1_000_000, spec), 1_000_000, 128).host
    assert bytes_for(spec, 1_000_000) - bytes_for(spec, 0) == index + 12 * 1_000_000


def test_an_index_of_metadata_takes_memory_too() -> None:
    fields = (MetadataField(name="year", type="integer"), MetadataField(name="notes", type="keyword", index=False))
    plain, spec = CollectionSpec(dimension=128), CollectionSpec(dimension=128, fields=fields)
    assert bytes_for(spec, 1_000) - bytes_for(plain, 1_000) == 16 * 1_000


def test_memory_is_at_least_the_raw_vectors_and_grows_with_what_is_said() -> None:
    spec = CollectionSpec(dimension=128)
    raw = 4 * 128 * 1_000_000
    assert raw < bytes_for(spec, 1_000_000) - bytes_for(spec, 0) < 1.6 * raw
    assert needed(spec, 0) == bytes_for(spec, FIRST_ROWS)
    assert needed(spec, 100 * GIB) == 125 * GIB
