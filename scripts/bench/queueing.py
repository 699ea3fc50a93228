"""How long jobs take under our scheduler, under first come first served, and under ours without what it does for them.

Philly-derived traces hold steps, not durations (a stated speed for each type of job), and openb at its own pace never
fills its cluster: arrivals are compressed until the load is as asked for; both are printed. The jobs say truly how long
they run; `biplane, estimates off` is ours when what they say is wrong by a factor of up to three.

    python -m scripts.bench.queueing --trace 2869ce.trace --nodes NODES.csv --pods PODS.csv --json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from control.scheduler.decide import DEFAULT_PRIORITIES
from control.scheduler.discipline import Discipline
from control.scheduler.report import report
from control.scheduler.simulate import simulate
from control.scheduler.state import Device, Node, Rules, Sharing
from control.scheduler.topology import links_for
from control.scheduler.trace import Job, Trace
from scripts import openb, philly

DEVICES = 8
"""The devices of a node of the clusters on which philly's jobs run; their largest gang is a quarter of the cluster."""
EVERY = 96
"""Of openb's nodes every so many-th."""
WARM_UP = 0.01
"""Of openb's pods the first part is left out: few, over most of the trace's months."""
OFF_BY = 3.0
PATIENCE = 10.0
"""So many times the mean run a job waits before it goes ahead of everyone: these jobs run for days, not for minutes."""
GIB = 1 << 30


def cluster_for(trace: Trace) -> tuple[Node, ...]:
    largest = max(job.workload.devices for job in trace.jobs)
    return tuple(_node(f"n{i:02}") for i in range(max(4, math.ceil(4 * largest / DEVICES))))


def _node(name: str) -> Node:
    devices = tuple(Device(f"SIM-{name}-{g}", 80 * GIB) for g in range(DEVICES))
    links = links_for("nvswitch", DEVICES)
    return Node(name, name, "sim-gpu", "H100-80GB", "nvswitch", devices, 2048 * GIB, simulated=True, links=links)


def measure(trace: Trace, nodes: tuple[Node, ...], load: float, seed: int) -> dict[str, Any]:
    patience = PATIENCE * float(np.mean([job.seconds for job in trace.jobs]))
    devices = sum(len(node.devices) for node in nodes)
    factor = trace.loading(devices, load)
    jobs = trace.compressed(factor)
    rules = Rules(DEFAULT_PRIORITIES, preemption=True, patience=patience, sharing=Sharing(replicas=8, training=True))
    runs = [(one.value, one, jobs) for one in Discipline]
    runs.append(("biplane, estimates off", Discipline.BIPLANE, _misjudged(jobs, seed)))
    return {
        "trace": trace.name,
        "devices": devices,
        "compressed": round(factor, 3),
        "load": round(jobs.load(devices), 3),
        "patience_s": round(patience),
        "remarks": list(trace.remarks),
        "policy": {name: _figures(one, its_jobs, nodes, rules) for name, one, its_jobs in runs},
    }


def _misjudged(trace: Trace, seed: int) -> Trace:
    rng = np.random.default_rng(seed)
    factors = OFF_BY ** rng.uniform(-1, 1, len(trace.jobs))
    return replace(trace, jobs=tuple(_saying(job, f) for job, f in zip(trace.jobs, factors, strict=True)))


def _saying(job: Job, factor: float) -> Job:
    return replace(job, workload=replace(job.workload, duration=job.seconds * factor))


def _figures(discipline: Discipline, trace: Trace, nodes: tuple[Node, ...], rules: Rules) -> dict[str, Any]:
    found = report(simulate(nodes, discipline.rules(rules), discipline.jobs(trace.jobs), trace.outages))
    return {
        "jct_mean_s": round(found.jct_mean_s),
        "jct_p99_s": round(found.jct_p99_s),
        "wait_max_s": round(found.wait_max_s),
        "utilisation_pct": round(found.utilisation_pct, 2),
        "longest_wait_s": round(found.longest_wait_s),
        "wait_bound_s": round(found.wait_bound_s),
        "over_bound": len(found.over_bound),
        "finished": found.finished,
        "preemptions": found.preemptions,
        "fairness": round(found.fairness, 3),
        "wait_mean_s_by_gang": {str(wait.devices): round(wait.mean_s) for wait in found.waits},
    }


def _traces(asked: argparse.Namespace) -> Iterator[tuple[Trace, tuple[Node, ...]]]:
    for path in asked.trace:
        trace = philly.read(path)
        yield trace, cluster_for(trace)
    if asked.nodes and asked.pods:
        yield openb.read_pods(asked.pods).after(WARM_UP), openb.read_nodes(asked.nodes)[::EVERY]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, nargs="*", default=[], help="Philly-derived traces")
    parser.add_argument("--nodes", type=Path, help="openb's node list")
    parser.add_argument("--pods", type=Path, help="one of openb's pod lists")
    parser.add_argument("--load", type=float, default=0.9, help="of the cluster's devices (0.9)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one object a trace")
    asked = parser.parse_args()
    for trace, nodes in _traces(asked):
        print(f"{trace.name}: {len(trace.jobs)} jobs on {len(nodes)} nodes", file=sys.stderr)
        found = measure(trace, nodes, asked.load, asked.seed)
        if asked.json:
            print(json.dumps(found))
            continue
        print(f"{found['trace']}: load {found['load']}, arrivals {found['compressed']} times as fast")
        for name, figures in found["policy"].items():
            print(f"  {name:40} " + "  ".join(f"{key} {figures[key]}" for key in tuple(figures)[:4]))


if __name__ == "__main__":
    main()
