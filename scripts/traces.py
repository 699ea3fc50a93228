"""What a simulation starts from, read from files: traces of jobs, nodes, rules.

Traces:  .jsonl  one object a line: a job (the fields of a Workload's spec, `name`, `arrival`, `seconds`), or the
                 outage of a node (`node`, `fails`, `returns`)
         .csv    the same jobs with their fields in the first line, or a pod list of openb
         .trace  Philly-derived jobs, tab-separated
Nodes:   .yaml   a Cluster document
         .csv    the node list of openb
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from control.kernel.present import NodeView
from control.scheduler.ask import wanted
from control.scheduler.nodes import NODE_LABEL, live_nodes
from control.scheduler.state import Node
from control.scheduler.trace import Job, Outage, Trace
from control.specs.base import Filled, Name, Spec
from control.specs.cluster import Cluster
from control.specs.inventory import NodeReport
from control.specs.load import load_file
from control.specs.problem import Problem, SpecError, one_of
from control.specs.quantity import Seconds
from control.specs.workload import WorkloadSpec
from scripts import openb, philly
from scripts.rows import checked, csv_lines, json_lines

Read = TypeVar("Read")


class JobRow(WorkloadSpec):
    """A job of a trace: what a Workload asks for, when it arrives and how many seconds it runs with all its devices.

    Without a `duration` it says truly how long it runs.
    """

    name: Filled
    arrival: Seconds
    seconds: Annotated[Seconds, Field(gt=0)]

    @property
    def job(self) -> Job:
        asked = wanted(self.name, self)
        return Job(replace(asked, created_at=self.arrival, duration=self.duration or self.seconds), self.seconds)


class OutageRow(Spec):
    """A node that is gone from `fails` on, and back at `returns` if it comes back."""

    node: Name
    fails: Seconds
    returns: Seconds | None = None

    @property
    def outage(self) -> Outage:
        return Outage(self.node, self.fails) if self.returns is None else Outage(self.node, self.fails, self.returns)


def read_trace(path: Path) -> Trace:
    """The trace of a file. Raises SpecError with every problem found, OSError when the file cannot be read."""
    readers = {".jsonl": _jsonl, ".csv": _csv, ".trace": philly.read}
    trace = _chosen(readers, path)(path)
    twice = [name for name, count in Counter(job.workload.name for job in trace.jobs).items() if count > 1]
    if twice:
        raise SpecError([Problem(str(path), 1, "name", f"{twice[0]!r} is given twice", "every name once")])
    return trace


def read_nodes(path: Path) -> tuple[Node, ...]:
    """The nodes of a file. Raises SpecError with every problem found, OSError when the file cannot be read."""
    return _chosen({".yaml": _cluster, ".yml": _cluster, ".csv": openb.read_nodes}, path)(path)


def _chosen(readers: Mapping[str, Callable[[Path], Read]], path: Path) -> Callable[[Path], Read]:
    if path.suffix not in readers:
        raise SpecError([Problem(str(path), 1, "", f"a file that ends in {path.suffix!r}", one_of(readers))])
    return readers[path.suffix]


def _jsonl(path: Path) -> Trace:
    lines = list(json_lines(path))
    outages = checked(path, (line for line in lines if "node" in line[1]), OutageRow, from_text=False)
    jobs = checked(path, (line for line in lines if "node" not in line[1]), JobRow, from_text=False)
    return Trace.of(path.stem, (row.job for row in jobs), (row.outage for row in outages))


def _csv(path: Path) -> Trace:
    """openb's pod lists are told by a column that no trace of ours has."""
    with path.open(encoding="utf-8-sig") as file:
        columns = file.readline().strip().split(",")
    if "num_gpu" in columns:
        return openb.read_pods(path)
    return Trace.of(path.stem, (row.job for row in checked(path, csv_lines(path), JobRow, from_text=True)))


def _cluster(path: Path) -> tuple[Node, ...]:
    found = [document.spec for document in load_file(path) if isinstance(document.spec, Cluster)]
    if len(found) != 1:
        raise SpecError([Problem(str(path), 1, "", f"found {len(found)} documents of kind Cluster", "one")])
    declared = found[0].spec.nodes
    views = (NodeView(node.name, {NODE_LABEL: node.name}, {}, report=NodeReport()) for node in declared)
    return live_nodes(declared, views)
