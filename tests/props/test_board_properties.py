"""What never happens on the board, whatever is asked for, given back and looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.board import Board
from control.scheduler.demand import Demand
from control.scheduler.state import WHOLE, Ask, Device, Node, Piece

GIB = 1 << 30
MOST_HOLDERS = 3
EXAMPLES = 40
KEPT = ("left", "room", "holders", "open", "idle", "cpu", "memory")


@st.composite
def nodes(draw: st.DrawFn) -> tuple[Node, ...]:
    found = []
    for index in range(draw(st.integers(1, 4))):
        name = f"n{index}"
        each = draw(st.sampled_from([0, 40 * GIB]))
        devices = tuple(
            Device(f"{name}-{g}", each, trouble=draw(st.sampled_from(["", "", "", "XID 79"])))
            for g in range(draw(st.integers(0, 4)))
        )
        model = draw(st.sampled_from(["A100", "H100"]))
        cpu = draw(st.sampled_from([0, 8000, 32000]))
        cordon = draw(st.sampled_from(["", "", "", "for repair"]))
        found.append(Node(name, name, "GPU", model, "", devices, 64 * GIB, True, cpu=cpu, cordon=cordon))
    return tuple(found)


wholes = st.builds(Ask, devices=st.integers(0, 4), device_memory=st.sampled_from([0, 0, 48 * GIB]))
shares = st.builds(
    Ask, devices=st.just(1), milli=st.integers(1, WHOLE - 1), device_memory=st.sampled_from([0, 10 * GIB, 25 * GIB])
)
asks = st.builds(
    lambda ask, cpu, memory, models: replace(ask, cpu=cpu, memory=memory, models=models),
    wholes | shares,
    st.sampled_from([0, 1000, 4000, 12000]),
    st.sampled_from([0, 8 * GIB, 32 * GIB]),
    st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"A100"})]),
)
histories = st.lists(asks | st.integers(0, 20), max_size=20)
"""An ask is placed if it fits; a number gives back that one of the pieces that are held."""


def play(board: Board, history: list[Ask | int]) -> list[Piece]:
    """The pieces that are held in the end."""
    held: list[Piece] = []
    for step in history:
        if isinstance(step, Ask):
            where = board.choose(step)
            if where is not None:
                held.append(board.piece(where, step))
                board.take(held[-1])
        elif held:
            board.give(held.pop(step % len(held)))
    return held


def same(one: Board, other: Board) -> bool:
    return all((getattr(one, name) == getattr(other, name)).all() for name in KEPT)


@settings(max_examples=EXAMPLES)
@given(nodes(), st.lists(asks, max_size=3), histories)
def test_nothing_is_ever_given_twice(cluster: tuple[Node, ...], expected: list[Ask], history: list[Ask | int]) -> None:
    board = Board.of(cluster, Demand.of(expected), max_holders=MOST_HOLDERS)
    held = play(board, history)
    for node in cluster:
        here = [piece for piece in held if piece.node == node.name]
        assert sum(piece.cpu for piece in here) <= (node.cpu or 1 << 60)
        assert sum(piece.memory for piece in here) <= node.memory
        for device in node.devices:
            on_it = [piece for piece in here if device.uuid in piece.devices]
            assert sum(piece.milli for piece in on_it) <= WHOLE
            assert sum(piece.device_memory for piece in on_it) <= (device.memory or 1 << 60)
            assert len(on_it) <= MOST_HOLDERS
            assert not on_it or not (device.trouble or node.cordon)


@settings(max_examples=EXAMPLES)
@given(nodes(), histories)
def test_whoever_gets_a_piece_gets_what_was_asked_for(cluster: tuple[Node, ...], history: list[Ask | int]) -> None:
    board = Board.of(cluster, max_holders=MOST_HOLDERS)
    for ask in history:
        if not isinstance(ask, Ask):
            continue
        fits = board.fitting(ask)
        assert [not board.refusal(index, ask) for index in range(len(cluster))] == fits.tolist()
        where = board.choose(ask)
        assert (where is None) == (not fits.any())
        if where is None:
            continue
        piece = board.piece(where, ask)
        node = board.nodes[where]
        assert len(set(piece.devices)) == len(piece.devices) == ask.devices
        assert not ask.models or node.gpu_model in ask.models
        assert (piece.milli, piece.cpu, piece.memory) == (ask.milli, ask.cpu, ask.memory)
        assert board.holds(piece)
        board.take(piece)


@settings(max_examples=EXAMPLES)
@given(nodes(), histories)
def test_what_is_given_back_leaves_no_trace(cluster: tuple[Node, ...], history: list[Ask | int]) -> None:
    board = Board.of(cluster, max_holders=MOST_HOLDERS)
    for piece in play(board, history):
        board.give(piece)
    assert same(board, Board.of(cluster, max_holders=MOST_HOLDERS))


@settings(max_examples=EXAMPLES)
@given(nodes(), histories, st.lists(asks, min_size=1, max_size=5))
def test_a_board_with_a_history_and_a_fresh_one_in_its_state_choose_alike(
    cluster: tuple[Node, ...], history: list[Ask | int], then: list[Ask]
) -> None:
    demand = Demand.of(ask for ask in history if isinstance(ask, Ask))
    board = Board.of(cluster, demand, max_holders=MOST_HOLDERS)
    held = play(board, history)
    fresh = Board.of(tuple(reversed(cluster)), demand, max_holders=MOST_HOLDERS)
    for piece in held:
        fresh.take(piece)
    assert same(board, fresh)
    for ask in then:
        where = board.choose(ask)
        assert where == fresh.choose(ask)
        if where is not None:
            assert board.devices_for(where, ask) == fresh.devices_for(where, ask)


@settings(max_examples=EXAMPLES)
@given(nodes(), histories, histories, st.lists(asks, min_size=1, max_size=3))
def test_a_copy_and_what_it_was_copied_from_do_not_see_each_other(
    cluster: tuple[Node, ...], before: list[Ask | int], after: list[Ask | int], then: list[Ask]
) -> None:
    board, twin = (Board.of(cluster, max_holders=MOST_HOLDERS) for _ in range(2))
    play(board, before)
    play(twin, before)
    copy = board.copy()
    play(copy, after)
    assert same(board, twin)
    assert [board.choose(ask) for ask in then] == [twin.choose(ask) for ask in then]
    play(board, after)
    assert same(board, copy)


@settings(max_examples=EXAMPLES)
@given(nodes(), histories, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), asks), max_size=8))
def test_what_is_withheld_and_given_again_leaves_no_trace(
    cluster: tuple[Node, ...], history: list[Ask | int], claims: list[tuple[int, int, Ask]]
) -> None:
    board = Board.of(cluster, max_holders=MOST_HOLDERS)
    play(board, history)
    before = board.copy()
    pieces = [
        Piece(f"n{n}", "", "", (f"n{n}-{g}",), ask.memory, ask.cpu, ask.milli, ask.device_memory)
        for n, g, ask in claims
    ]
    for piece in pieces:
        board.withhold(piece)
        for kept in (board.left, board.room, board.cpu, board.memory):
            assert (np.asarray(kept) >= 0).all()
    for piece in pieces:
        board.give(piece)
    assert same(board, before)
