"""FGD's protocol: a trace arrives piece by piece, each is placed or dropped at once, and nobody leaves.

The list of pods is shuffled with a seed and then sampled with replacement (or pods are removed at random) until 130 %
of the GPU capacity are asked for, as the authors' simulator does. Results are taken when 80 to 130 % of the capacity
have arrived: `unallocated_pct` of all GPUs, and `fragmentation_pct`, FGD's expected fragmentation F in per cent of
the GPUs that are idle. A decision is everything between an arrival and the board with the piece taken;
its time is this process's CPU time, so that what else runs on the machine does not count.

Usage: python -m scripts.bench.scheduler --nodes NODES.csv --pods PODS.csv --seed 42 [--policy fgd] [--json]
With --scale K the cluster is K copies of the nodes, each filled to 60 % by a trace of its own (seeds S to S + K - 1),
and only the timings of the next decisions are told.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from control.scheduler.board import Board, Demand
from control.scheduler.state import WHOLE, Ask, Device, Node, Piece
from scripts.bench.scheduler_peers import POLICIES, Choice, Policy, Typical

PERCENTAGES = (80, 90, 95, 100, 110, 130)
FILLED = 60
TIMED = 1000
LEARN_EVERY = 200
MIB = 1 << 20


def read_nodes(path: Path) -> tuple[Node, ...]:
    """A node list of the openb trace: columns sn, cpu_milli, memory_mib, gpu, model."""
    with path.open() as lines:
        return tuple(
            Node(
                name=row["sn"],
                node_id=row["sn"],
                resource="GPU",
                gpu_model=row["model"],
                interconnect="",
                devices=tuple(Device(f"{row['sn']}/{index}", 0) for index in range(int(row["gpu"]))),
                memory=int(row["memory_mib"]) * MIB,
                simulated=True,
                cpu=int(row["cpu_milli"]),
            )
            for row in csv.DictReader(lines)
        )


def read_pods(path: Path) -> tuple[Ask, ...]:
    """A pod list of the openb trace: cpu_milli, memory_mib, num_gpu, gpu_milli, and gpu_spec where there is one."""
    with path.open() as lines:
        return tuple(
            Ask(
                devices=int(row["num_gpu"]),
                milli=int(row["gpu_milli"]) if int(row["num_gpu"]) else WHOLE,
                cpu=int(row["cpu_milli"]),
                memory=int(row["memory_mib"]) * MIB,
                models=frozenset((row.get("gpu_spec") or "").split("|")) - {""},
            )
            for row in csv.DictReader(lines)
        )


def wanted(ask: Ask) -> int:
    """Thousandths of a GPU."""
    return ask.devices * ask.milli


def arrivals(pods: Sequence[Ask], capacity: int, seed: int) -> list[Ask]:
    """The trace: every pod once in random order, then more (or fewer) until 130 % of `capacity` are asked for."""
    generator = np.random.default_rng(seed)
    trace = [pods[index] for index in generator.permutation(len(pods))]
    asked, goal = sum(wanted(ask) for ask in trace), capacity * PERCENTAGES[-1] // 100
    while asked > goal:
        asked -= wanted(trace.pop(int(generator.integers(len(trace)))))
    while asked + wanted(one := pods[int(generator.integers(len(pods)))]) <= goal:
        trace.append(one)
        asked += wanted(one)
    return trace


@dataclass
class Run:
    """A board that is being filled, and how long that took."""

    board: Board
    policy: Policy
    pieces: list[Piece] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def arrive(self, ask: Ask) -> None:
        began = time.process_time()
        choice = self.policy.place(self.board, ask)
        if choice is not None:
            piece = _piece(self.board.nodes, choice, ask)
            self.board.take(piece)
            self.pieces.append(piece)
        self.milliseconds.append((time.process_time() - began) * 1000)

    def speed(self) -> dict[str, float]:
        """Decisions a second over all, and the 99th percentile of one decision's milliseconds."""
        total = sum(self.milliseconds) / 1000
        p99 = statistics.quantiles(self.milliseconds, n=100)[-1]
        return {"decisions_per_s": round(len(self.milliseconds) / total), "decision_ms_p99": round(p99, 3)}


def _piece(nodes: Sequence[Node], choice: Choice, ask: Ask) -> Piece:
    node = nodes[choice[0]]
    devices = tuple(node.devices[index].uuid for index in choice[1])
    return Piece(node.name, node.node_id, node.resource, devices, ask.memory, ask.cpu, ask.milli)


def protocol(run: Run, trace: Iterable[Ask], demand: Demand, learn: bool) -> dict[str, dict[str, float]]:
    """Run a whole trace; unallocated and fragmentation at each percentage."""
    capacity = int(run.board.open.sum())
    typical = Typical(demand, run.board)
    unallocated: dict[str, float] = {}
    fragmentation: dict[str, float] = {}

    def note(percentage: int) -> None:
        idle = int(run.board.open.sum())
        unallocated[str(percentage)] = round(100 * idle / capacity, 2)
        fragmentation[str(percentage)] = round(100 * typical.of(run.board) / idle, 2) if idle else 0.0

    arrived = 0
    due = list(PERCENTAGES)
    seen: list[Ask] = []
    for ask in trace:
        if learn and len(seen) % LEARN_EVERY == 0:
            run.board.expect(Demand.of(seen))
        run.arrive(ask)
        seen.append(ask)
        arrived += wanted(ask)
        while due and 100 * arrived >= due[0] * capacity:
            note(due.pop(0))
    for percentage in due:
        note(percentage)
    return {"unallocated_pct": unallocated, "fragmentation_pct": fragmentation}


def scaled(nodes: Sequence[Node], pods: Sequence[Ask], seed: int, copies: int, policy: str) -> Run:
    """Decisions on a part-filled cluster of so many copies of the nodes."""
    every: list[Node] = []
    pieces: list[Piece] = []
    demand = Demand.of(pods)
    for turn in range(copies):
        board = Board.of(nodes, demand)
        capacity = int(board.open.sum())
        run = Run(board, POLICIES[policy](demand, board, np.random.default_rng(seed + turn)))
        for ask in arrivals(pods, capacity, seed + turn):
            run.arrive(ask)
            if 100 * int(board.open.sum()) <= (100 - FILLED) * capacity:
                break
        every += [replace(node, name=f"{node.name}-{turn}") for node in board.nodes]
        pieces += [replace(piece, node=f"{piece.node}-{turn}") for piece in run.pieces]
    board = Board.of(every, demand)
    for piece in pieces:
        board.take(piece)
    run = Run(board, POLICIES[policy](demand, board, np.random.default_rng(seed)))
    trace = arrivals(pods, int(board.open.sum()), seed + copies)
    run.arrive(trace[0])
    run.milliseconds.clear()
    for ask in trace[1 : 1 + TIMED]:
        run.arrive(ask)
    return run


def published(path: Path, workload: str) -> dict[str, dict[str, float]]:
    """For each published policy the mean over its seeds of what it left unallocated; empty for an unknown list."""
    if not path.is_file():
        return {}
    with path.open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["workload"] == workload]
    return {
        policy: {
            str(percentage): round(
                100
                - statistics.mean(float(r[f"allocated_pct_at_{percentage}"]) for r in rows if r["policy"] == policy),
                2,
            )
            for percentage in PERCENTAGES
        }
        for policy in sorted({row["policy"] for row in rows})
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=Path, required=True)
    parser.add_argument("--pods", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--policy", choices=POLICIES, default="biplane")
    parser.add_argument("--published", type=Path, help="published results; default: beside the pods")
    parser.add_argument("--learn", action="store_true", help="the policy learns the demand from arrivals alone")
    parser.add_argument("--scale", type=int, help="time decisions on so many copies of the nodes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    nodes, pods = read_nodes(options.nodes), read_pods(options.pods)
    found: dict[str, object] = {"list": options.pods.stem, "seed": options.seed, "policy": options.policy}
    if options.scale:
        timed = scaled(nodes, pods, options.seed, options.scale, options.policy)
        found |= {"nodes": len(nodes) * options.scale} | timed.speed()
    else:
        demand = Demand.of(pods)
        board = Board.of(nodes, None if options.learn else demand)
        run = Run(board, POLICIES[options.policy](demand, board, np.random.default_rng(options.seed)))
        trace = arrivals(pods, int(board.open.sum()), options.seed)
        found |= protocol(run, trace, demand, options.learn)
        found |= run.speed()
        beside = options.published or options.pods.with_name("fgd_published_allocated_pct.csv")
        if peers := published(beside, options.pods.stem):
            found["published_unallocated_pct"] = peers
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:26} {json.dumps(value)}")


if __name__ == "__main__":
    main()
