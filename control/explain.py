"""Why an object is as it is: its own reason, then the reasons of what it waits for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control.kernel.ids import AppName, StepName, life_of, run_name
from control.kernel.store import Object


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing; `depth` says under which finding it stands."""

    depth: int
    about: str
    phase: str
    reason: str


def explain(subject: Object, stored: Iterable[Object]) -> tuple[Finding, ...]:
    """The subject first, then what it depends on, down to the scheduler's answers."""
    by_name = {(o.kind, o.name): o for o in stored}
    return _explain(subject, by_name, 0)


def _explain(subject: Object, by_name: dict[tuple[str, str], Object], depth: int) -> tuple[Finding, ...]:
    findings: tuple[Finding, ...] = (_finding(subject, depth),)
    for needed in _needs(subject):
        found = by_name.get(needed)
        if found is not None:
            findings += _explain(found, by_name, depth + 1)
    if subject.kind == "Run":
        for task, status in subject.status.get("tasks", {}).items():
            findings += (Finding(depth + 1, f"task {task}", status["state"], status["reason"]),)
            workload = by_name.get(("Workload", StepName(subject.name, life_of(subject.spec["uid"]), task, 1).workload))
            if workload is not None:
                findings += _explain(workload, by_name, depth + 2)
            deployment = by_name.get(("Deployment", status["outputs"].get("deployment", "")))
            if deployment is not None:
                findings += _explain(deployment, by_name, depth + 2)
    return findings


def _finding(subject: Object, depth: int) -> Finding:
    lease = subject.status.get("lease")
    reason = subject.status.get("reason") or "its domain has not looked at it yet"
    if lease:
        reason += f"; holds {', '.join(lease['devices']) or 'memory'} on {lease['node']}"
    if not subject.status and subject.kind not in _WITH_STATUS:
        reason = f"generation {subject.generation} is what is wanted"
    return Finding(depth, f"{subject.kind}/{subject.name}", subject.status.get("phase", ""), reason)


_WITH_STATUS = frozenset({"Run", "Workload", "Deployment", "ModelVersion"})


def _needs(subject: Object) -> tuple[tuple[str, str], ...]:
    match subject.kind:
        case "Workflow":
            return (("Run", run_name(subject.name, subject.generation)),)
        case "Deployment":
            app = AppName.parse(subject.status.get("app", ""))
            return (("Workload", app.workload),) if app else ()
        case _:
            return ()
