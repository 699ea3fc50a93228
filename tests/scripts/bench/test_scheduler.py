"""The protocol of the scheduler's bench, on a small list and, where it is, on the openb trace (BIPLANE_OPENB)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from control.scheduler.board import Board
from control.scheduler.demand import Demand
from control.scheduler.state import WHOLE, Ask
from scripts.bench.scheduler import (
    PERCENTAGES,
    Run,
    arrivals,
    protocol,
    published,
    read_nodes,
    read_pods,
    scaled,
    wanted,
)
from scripts.bench.scheduler_peers import POLICIES, Typical

NODES = """sn,cpu_milli,memory_mib,gpu,model
b,96000,393216,8,G2
a,104000,524288,2,T4
"""
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
p0,8000,1024,1,1000,
p1,4000,1024,1,470,T4|G2
p2,2000,1024,0,0,
p3,8000,2048,2,1000,
"""


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path]:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text(NODES)
    pods.write_text(PODS)
    return nodes, pods


def run(nodes: Path, pods: Path, policy: str, seed: int = 42) -> dict[str, dict[str, float]]:
    asks = read_pods(pods)
    demand = Demand.of(asks)
    board = Board.of(read_nodes(nodes), demand)
    trace = arrivals(asks, int(board.open.sum()), seed)
    filled = Run(board, POLICIES[policy](demand, board, np.random.default_rng(seed)))
    return protocol(filled, trace, demand, learn=False)


def test_the_lists_are_read_as_they_are_written(lists: tuple[Path, Path]) -> None:
    nodes, pods = lists
    assert [(n.name, len(n.devices), n.cpu, n.gpu_model) for n in read_nodes(nodes)] == [
        ("b", 8, 96000, "G2"),
        ("a", 2, 104000, "T4"),
    ]
    asks = read_pods(pods)
    assert asks[1] == Ask(1, 470, cpu=4000, memory=1 << 30, models=frozenset({"T4", "G2"}))
    assert asks[2] == Ask(0, WHOLE, cpu=2000, memory=1 << 30)


@pytest.mark.parametrize("copies", [1, 9])
def test_the_trace_asks_for_130_per_cent(lists: tuple[Path, Path], copies: int) -> None:
    trace = arrivals(read_pods(lists[1]) * copies, 10_000, seed=1)
    asked = sum(wanted(ask) for ask in trace)
    assert 13_000 - 2_000 <= asked <= 13_000
    assert trace == arrivals(read_pods(lists[1]) * copies, 10_000, seed=1)
    assert trace != arrivals(read_pods(lists[1]) * copies, 10_000, seed=2)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_fills_the_cluster(lists: tuple[Path, Path], policy: str) -> None:
    found = run(*lists, policy)
    left = list(found["unallocated_pct"].values())
    assert list(found["unallocated_pct"]) == [str(percentage) for percentage in PERCENTAGES]
    assert left == sorted(left, reverse=True)
    assert 0 <= left[-1] < 20
    assert found == run(*lists, policy)


def test_fragmentation_is_what_the_typical_pods_could_not_use(lists: tuple[Path, Path]) -> None:
    board = Board.of(read_nodes(lists[0]))
    fours = Demand((Ask(4), Ask(4, cpu=100_000)), (3.0, 1.0))
    assert Typical(fours, board).of(board) == 2 * WHOLE + 8 * WHOLE / 4


def test_a_list_that_was_not_published_has_no_peers(tmp_path: Path) -> None:
    assert published(tmp_path / "none.csv", "mine") == {}


def test_a_larger_cluster_is_timed_part_filled(lists: tuple[Path, Path]) -> None:
    nodes, pods = lists
    timed = scaled(read_nodes(nodes), read_pods(pods) * 9, seed=1, copies=3, policy="biplane")
    assert len(timed.board.nodes) == 6
    assert timed.speed()["decisions_per_s"] > 0


@pytest.mark.skipif("BIPLANE_OPENB" not in os.environ, reason="BIPLANE_OPENB does not say where the openb trace is")
@pytest.mark.parametrize("workload", ["default", "cpu100", "gpushare40", "gpuspec10", "multigpu20"])
def test_ours_leaves_less_than_published_fgd(workload: str) -> None:
    where = Path(os.environ["BIPLANE_OPENB"])
    stem = f"openb_pod_list_{workload}"
    ours = run(where / "openb_node_list_gpu_node.csv", where / f"{stem}.csv", "biplane")["unallocated_pct"]
    theirs = published(where / "fgd_published_allocated_pct.csv", stem)["06-FGD"]
    assert all(ours[str(percentage)] < theirs[str(percentage)] for percentage in (95, 100, 110, 130))
