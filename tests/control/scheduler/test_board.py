"""What is free, who may have it, and where the next piece goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from control.scheduler.board import Board
from control.scheduler.demand import Demand
from control.scheduler.state import Ask, Device, Node, Piece, Slice
from control.scheduler.topology import links_for
from tests.control.scheduler.world import GIB, node

HALF = Ask(devices=1, milli=500)


def place(board: Board, ask: Ask) -> Piece:
    """Take what the board would give. The ask has to fit somewhere."""
    where = board.choose(ask)
    assert where is not None
    piece = board.piece(where, ask)
    board.take(piece)
    return piece


def test_nodes_are_in_the_order_of_their_names() -> None:
    board = Board.of([node("b"), node("a")])
    assert [n.name for n in board.nodes] == ["a", "b"]
    assert (board.index("b"), board.index("c")) == (1, None)


def test_two_nodes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two nodes are called n0"):
        Board.of([node("n0", node_id="old"), node("n1"), node("n0", node_id="new")])


def test_what_is_taken_is_free_again_when_it_is_given() -> None:
    board = Board.of([node(devices=4, memory=64, cpu=8000)])
    piece = place(board, Ask(devices=2, cpu=3000, memory=16 * GIB))
    assert (board.idle[0], board.cpu[0], board.memory[0]) == (2, 5000, 48 * GIB)
    board.give(piece)
    assert (board.idle[0], board.cpu[0], board.memory[0]) == (4, 8000, 64 * GIB)


@pytest.mark.parametrize(
    "greedy",
    [Ask(devices=2), Ask(devices=1, milli=600), Ask(devices=1, cpu=9000), Ask(devices=1, memory=65 * GIB)],
)
def test_nothing_is_taken_twice(greedy: Ask) -> None:
    board = Board.of([node(devices=2, memory=64, cpu=8000)])
    first, second = (device.uuid for device in board.nodes[0].devices)
    board.take(Piece("n0", "", "", (first,)))
    board.take(Piece("n0", "", "", (second,), milli=500))
    devices = (first, second)[-greedy.devices :]
    piece = Piece("n0", "", "", devices, greedy.memory, greedy.cpu, greedy.milli)
    left = board.left.copy()
    assert not board.holds(piece)
    with pytest.raises(ValueError, match="is not free on n0"):
        board.take(piece)
    assert (board.left == left).all()


def test_a_share_goes_to_the_device_that_is_shared_already() -> None:
    board = Board.of([node(devices=4)])
    assert place(board, HALF).devices == place(board, HALF).devices
    assert board.idle[0] == 3


def test_no_more_share_a_device_than_may() -> None:
    board = Board.of([node(devices=2)], max_holders=2)
    tenth = Ask(devices=1, milli=100)
    assert [place(board, tenth).devices[0][-1] for _ in range(4)] == ["0", "0", "1", "1"]
    assert board.choose(tenth) is None
    assert board.refusal(0, tenth) == "n0 has no H100 of which 10 % are free for one more to share"


def test_memory_of_a_shared_device_is_counted() -> None:
    board = Board.of([node(devices=1, each=80)])
    place(board, replace(HALF, milli=100, device_memory=60 * GIB))
    assert not board.fitting(replace(HALF, device_memory=30 * GIB)).any()
    assert board.fitting(replace(HALF, device_memory=20 * GIB)).all()


def test_a_gang_gets_the_devices_that_are_joined_best() -> None:
    where = node(devices=8, links=links_for("nvlink", 8))
    board = Board.of([where])
    board.take(Piece("n0", "", "", tuple(where.devices[i].uuid for i in (1, 2))))
    assert board.devices_for(0, Ask(devices=2)) == (0, 3)  # two NVLinks


def test_a_device_in_trouble_keeps_what_it_holds_and_takes_nothing_new() -> None:
    well = node(devices=2)
    ill = replace(well, devices=(replace(well.devices[0], trouble="XID 79"), well.devices[1]))
    board = Board.of([ill])
    assert board.free_devices(0, Ask(devices=1)) == (1,)
    assert board.refusal(0, Ask(devices=2)) == "n0 has 1 H100, 2 are asked for"
    assert board.holds(Piece("n0", "", "", (ill.devices[0].uuid,)))


def test_a_cordoned_node_keeps_what_it_holds_and_takes_nothing_new() -> None:
    board = Board.of([node(cordon="being repaired")])
    assert board.choose(Ask(devices=1)) is None
    assert board.choose(Ask(cpu=1)) is None
    assert board.refusal(0, Ask(devices=1)) == "n0 takes nothing new: being repaired"
    assert board.holds(Piece("n0", "", "", (board.nodes[0].devices[0].uuid,)))


def test_devices_in_mig_mode_are_not_on_the_board() -> None:
    cut = Device("G", 80 * GIB, mig=True, slices=(Slice("1g.10gb", 0, "M"),))
    board = Board.of([replace(node(devices=1), devices=(cut,))])
    assert board.choose(Ask(devices=1)) is None
    assert not board.holds(Piece("n0", "", "", ("G",)))
    assert not board.holds(Piece("n0", "", "", ("M",)))


def test_devices_that_ray_gave_to_others_are_left_alone() -> None:
    board = Board.of([node(devices=4, foreign=2)])
    place(board, Ask(devices=1))
    board.withhold_foreign()
    assert board.free_devices(0, Ask(devices=1)) == (1,)


def test_of_a_piece_that_is_not_all_free_just_the_rest_is_withheld_and_given_again() -> None:
    board = Board.of([node(devices=3, memory=64)])
    first, second, _ = (device.uuid for device in board.nodes[0].devices)
    board.take(Piece("n0", "", "", (first,), memory=60 * GIB))
    piece = Piece("n0", "", "", (first, second, "gone"), memory=8 * GIB)
    before = board.left.copy(), board.memory.copy()
    board.withhold(piece)
    assert (board.idle[0], board.memory[0]) == (1, 0)
    board.give(piece)
    assert (board.left == before[0]).all()
    assert (board.memory == before[1]).all()


def test_a_piece_on_a_node_that_is_gone_withholds_nothing() -> None:
    board = Board.of([node()])
    piece = Piece("gone", "", "", ("G",))
    board.withhold(piece)
    board.give(piece)
    assert not board.holds(piece)
    assert board.idle[0] == 4


def test_a_node_of_which_nobody_told_the_cpus_has_enough() -> None:
    assert Board.of([node(cpu=0)]).fitting(Ask(cpu=10**9)).all()


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (Ask(devices=5), "n0 has 4 H100, 5 are asked for"),
        (Ask(devices=1, device_memory=96 * GIB), "n0 has 0 H100 with 96 GiB, 1 are asked for"),
        (Ask(devices=1, memory=65 * GIB), "n0 has 64 GiB of memory, 65 GiB are asked for"),
        (Ask(devices=1, cpu=16500), "n0 has 16 CPUs, 16.5 are asked for"),
        (Ask(devices=1, models=frozenset({"A100", "V100"})), "n0 has H100, A100 or V100 is asked for"),
        (Ask(devices=4), "n0 has 3 of its 4 H100 free, 4 are asked for"),
        (Ask(devices=1, memory=40 * GIB), "n0 has 32 of its 64 GiB of memory free, 40 GiB are asked for"),
        (Ask(devices=1, cpu=9000), "n0 has 8 of its 16 CPUs free, 9 are asked for"),
        (Ask(devices=3, cpu=8000, memory=32 * GIB), ""),
    ],
)
def test_a_refusal_says_the_first_rule_that_fails(ask: Ask, reason: str) -> None:
    board = Board.of([node(devices=4, memory=64, cpu=16000)])
    place(board, Ask(devices=1, cpu=8000, memory=32 * GIB))
    assert board.refusal(0, ask) == reason
    assert board.fitting(ask)[0] == (not reason)


def test_only_the_nodes_among_which_to_choose_are_chosen() -> None:
    board = Board.of([node("a"), node("b")])
    assert board.choose(Ask(devices=1), np.array([False, True])) == 1
    assert board.choose(Ask(devices=1), np.array([False, False])) is None


def test_with_nothing_known_a_whole_node_is_kept_whole() -> None:
    board = Board.of([node("a", devices=8), node("b", devices=8), node("c", devices=2)])
    assert place(board, Ask(devices=1)).node == "c"
    assert place(board, Ask(devices=8)).node == "a"
    assert place(board, Ask(devices=1)).node == "c"


def test_of_equal_nodes_the_fullest_and_then_the_first_is_chosen() -> None:
    board = Board.of([node(name, cpu=64000) for name in "abc"], Demand.of([Ask(devices=1)]))
    board.take(Piece("b", "", "", (board.nodes[1].devices[0].uuid,)))
    assert place(board, Ask(cpu=1)).node == "b"
    assert place(Board.of([node(name) for name in "ba"]), Ask(devices=4)).node == "a"


def test_a_model_that_others_need_is_spared() -> None:
    nodes: list[Node] = [node("a", devices=8), node("b", devices=8)]
    nodes[0] = replace(nodes[0], gpu_model="A100")
    picky = Ask(devices=1, models=frozenset({"A100"}))
    board = Board.of(nodes, Demand.of([Ask(devices=1), picky]))
    assert {place(board, Ask(devices=1)).node for _ in range(8)} == {"b"}
    assert place(board, Ask(devices=1)).node == "a"


def test_work_without_devices_goes_where_the_cpus_are_not_needed() -> None:
    nodes = [node("poor", devices=8, cpu=64000), node("rich", devices=2, cpu=104000)]
    board = Board.of(nodes, Demand.of([Ask(devices=1, cpu=8000)]))
    assert place(board, Ask(cpu=16000)).node == "rich"


def test_a_board_can_be_told_what_to_expect_later() -> None:
    nodes = [replace(node("a", devices=2), gpu_model="A100"), node("b", devices=2)]
    board = Board.of(nodes)
    assert board.choose(Ask(devices=1)) == 0
    board.expect(Demand.of([Ask(devices=1, models=frozenset({"A100"}))] * 9))
    assert board.choose(Ask(devices=1)) == 1
