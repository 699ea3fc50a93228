"""`biplane simulate`: a trace, or recorded decisions, through the very same decisions on a virtual clock."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import typer

from control.kernel.store import Object
from control.scheduler.decide import decide
from control.scheduler.decisions import plan_body
from control.scheduler.discipline import Discipline
from control.scheduler.recorder import recorded
from control.scheduler.report import Report, report
from control.scheduler.simulate import simulate
from control.scheduler.state import Rules
from control.scheduler.view import Memory, stored_snapshot
from control.specs.load import load_file
from scripts.cli.show import emit, out, progress, table
from scripts.traces import read_nodes, read_trace

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def run(
    trace: Path, nodes: Path, rules: Path | None, compress: float, discipline: Discipline, plot: Path | None, json: bool
) -> None:
    jobs = read_trace(trace)
    cluster = read_nodes(nodes)
    if compress != 1.0:
        jobs = jobs.compressed(compress)
    devices = sum(len(node.devices) for node in cluster)
    began = time.perf_counter()
    progress.print(f"[dim]{len(jobs.jobs)} jobs on {len(cluster)} nodes with {devices} devices[/]")
    trajectory = simulate(cluster, discipline.rules(rules_in(rules)), discipline.jobs(jobs.jobs), jobs.outages)
    found = report(trajectory)
    if plot is not None:
        draw(found, plot)
    if json:
        body = {**asdict(found), "trace": jobs.name, "policy": discipline.value, "compressed": compress}
        return emit({**body, "load": jobs.load(devices), "seconds": time.perf_counter() - began})
    show(found, discipline)
    for remark in jobs.remarks:
        out.print(f"[dim]{remark}[/]")
    return None


def replay(file: Path, *, json: bool) -> None:
    """Decide again about every recorded snapshot. Exits 1 when a plan differs."""
    decisions = list(recorded(file))
    differ = [index for index, (snapshot, plan) in enumerate(decisions) if plan_body(decide(snapshot)) != plan]
    if json:
        emit({"decisions": len(decisions), "different": differ})
    else:
        out.print(f"{len(decisions)} recorded decisions, {len(differ)} of them different now")
    if differ:
        raise typer.Exit(1)


def rules_in(file: Path | None) -> Rules:
    """What the ClusterPolicy, ConfigMap and Queue documents of a file come to; with none preemption is on."""
    documents = [] if file is None else load_file(file)
    stored = [
        Object(
            kind=document.kind,
            name=document.name,
            uid="",
            generation=1,
            revision=index,
            spec=document.spec.model_dump(mode="json"),
            status={},
            created_at=0.0,
            updated_at=0.0,
        )
        for index, document in enumerate(documents)
    ]
    return stored_snapshot(stored, 0.0, Memory()).rules


def show(found: Report, discipline: Discipline) -> None:
    table(
        (discipline.value.upper(), ""),
        (
            ("jobs ended", f"{found.finished} of {found.jobs}"),
            ("JCT, mean / p99", f"{found.jct_mean_s:.0f} / {found.jct_p99_s:.0f} s"),
            (
                "wait, mean / p99 / longest",
                f"{found.wait_mean_s:.0f} / {found.wait_p99_s:.0f} / {found.wait_max_s:.0f} s",
            ),
            ("longest wait at a stretch", f"{found.longest_wait_s:.0f} s (its bound: {found.wait_bound_s:.0f} s)"),
            ("allocated / useful", f"{found.allocation_pct:.1f} / {found.utilisation_pct:.1f} % of the devices"),
            ("fragmented", f"{found.fragmentation_pct:.1f} % of what was free"),
            ("preemptions / nodes lost under a job", f"{found.preemptions} / {found.failures}"),
            ("work thrown away", f"{found.lost_device_s:.0f} device seconds"),
            ("fairness (Jain)", f"{found.fairness:.3f}"),
        ),
    )
    out.print()
    table(
        ("DEVICES", "JOBS", "WAIT mean", "p99", "longest (s)"),
        ((w.devices, w.jobs, f"{w.mean_s:.0f}", f"{w.p99_s:.0f}", f"{w.max_s:.0f}") for w in found.waits),
    )
    every = max(1, len(found.moments) // WIDTH)
    shares = [moment.held / moment.devices if moment.devices else 0.0 for moment in found.moments[::every]]
    out.print(f"\nallocation over time  {''.join(BARS[min(7, int(8 * share))] for share in shares)}")
    for name, reason in found.never[:5]:
        out.print(f"{name} never ended: {reason}")


def draw(found: Report, file: Path) -> None:
    """Held devices, waiting jobs and fragmentation over time, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    hours = [moment.at_s / 3600 for moment in found.moments]
    figure, (top, bottom) = pyplot.subplots(2, sharex=True, figsize=(10, 6))
    top.step(hours, [m.devices for m in found.moments], color="0.7", label="devices there", where="post")
    top.step(hours, [m.held for m in found.moments], label="held", where="post")
    top.legend(loc="lower right")
    top.set_ylabel("devices")
    bottom.step(hours, [m.waiting for m in found.moments], color="C1", label="waiting jobs", where="post")
    bottom.set_ylabel("jobs")
    bottom.set_xlabel("hours")
    bottom.legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(file)
