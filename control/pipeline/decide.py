"""What each run does next. Pure.

One run for each generation of a workflow. A task's new state is recorded before its step is started, and a step is
started again, under the same key and in the same directory, until its receipt is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from control.kernel.ids import STEP_WORKLOAD_PREFIX, StepName, run_name
from control.kernel.plan import Create, Effect, EndStep, EnsureStep, Plan, PutStatus, Record, Remove, SignalStep
from control.pipeline.dag import Task
from control.pipeline.progress import Progress, progress
from control.pipeline.request import parameters_of, request_of, step_directory, workload_of
from control.pipeline.state import (
    TRANSITIONS,
    Run,
    RunPhase,
    Snapshot,
    TaskEvent,
    TaskState,
    TaskStatus,
    Workflow,
)
from control.pipeline.tenure import Tenure, tenure_of


def decide(snapshot: Snapshot) -> Plan:
    plans = [_run(run, snapshot) for run in snapshot.runs]
    return Plan(_new_runs(snapshot)) + sum(plans, Plan()) + _sweep(snapshot)


def _new_runs(snapshot: Snapshot) -> tuple[Record, ...]:
    known = {run.name for run in snapshot.runs}
    return tuple(
        _create(workflow)
        for workflow in snapshot.workflows
        if run_name(workflow.name, workflow.generation) not in known
    )


def _create(workflow: Workflow) -> Record:
    return Create(
        kind="Run",
        name=run_name(workflow.name, workflow.generation),
        event="Started",
        reason=f"generation {workflow.generation} of workflow {workflow.name} was applied",
        spec={
            "workflow": workflow.name,
            "uid": workflow.uid,
            "generation": workflow.generation,
            "document": dict(workflow.document),
        },
    )


def _run(run: Run, snapshot: Snapshot) -> Plan:
    """The next step of one run: its record if anything changed, and the effects that its tasks need now."""
    wanted = {(w.uid, w.generation) for w in snapshot.workflows}
    if run.uid not in {uid for uid, _ in wanted}:
        gone = "its workflow was deleted"
        return Plan((Remove(kind="Run", name=run.name, event="Deleted", reason=gone),))
    if run.phase is not RunPhase.RUNNING:
        return Plan()
    if (run.uid, run.generation) not in wanted:
        return Plan((_record(run, _cancel(run, snapshot.now), RunPhase.CANCELLED, "a newer generation runs"),))
    if run.graph is None:
        return Plan((_record(run, run.tasks, RunPhase.FAILED, run.fault),))
    tasks = dict(run.tasks)
    plan = Plan()
    for task in run.graph.tasks:
        before = tasks.get(task.name, TaskStatus())
        step = progress(task, before, tasks, run, snapshot)
        tasks[task.name] = _moved(before, step, snapshot.now)
        plan += step.plan + _effects(run, task, tasks[task.name], tasks, snapshot)
    phase, reason = _phase(tasks)
    record = _record(run, tasks, phase, reason)
    return Plan((record,) if record.status != run.status else ()) + plan


def _moved(before: TaskStatus, step: Progress, now: float) -> TaskStatus:
    if step.event is None:
        return replace(before, reason=step.reason)
    state = TRANSITIONS[before.state, step.event]
    return TaskStatus(
        state=state,
        reason=step.reason,
        attempt=before.attempt + (step.event in (TaskEvent.LOST, TaskEvent.STOPPED)),
        outputs={**before.outputs, **step.outputs},
        started_at=now if before.started_at is None and state is TaskState.RUNNING else before.started_at,
        finished_at=now if state.settled else None,
        evictions=before.evictions + (step.event is TaskEvent.STOPPED),
        lease=step.lease or (before.lease if state.has_step else ""),
        wanted_at=now if state is TaskState.RUNNING else before.wanted_at,
    )


def _effects(run: Run, task: Task, status: TaskStatus, tasks: Mapping[str, TaskStatus], snapshot: Snapshot) -> Plan:
    """What a task in its present state must have: its workload while it needs devices, its actor while it runs."""
    workload = run.step(task.name).workload
    records: tuple[Record, ...] = ()
    if status.state.holds_devices and task.needs_lease and workload not in snapshot.placements:
        records = (_ask(run, task, tasks, workload),)
    alive = str(run.step(task.name, status.attempt)) in snapshot.actors
    placement = snapshot.placements.get(workload)
    tenure = tenure_of(task, status, placement)
    match status.state:
        case TaskState.RUNNING if tenure is Tenure.KEPT and not alive:
            return Plan(records, (_start(run, task, status, tasks, snapshot),))
        case TaskState.EVICTING if alive:
            in_time = placement is not None and snapshot.now < placement.deadline
            return Plan(records, (_stop(run, task, status, snapshot, ask=tenure is Tenure.RECALLED and in_time),))
        case _:
            return Plan(records)


def _start(run: Run, task: Task, status: TaskStatus, tasks: Mapping[str, TaskStatus], snapshot: Snapshot) -> Effect:
    placement = snapshot.placements[run.step(task.name).workload] if task.needs_lease else None
    return EnsureStep(
        kind="Run",
        name=run.name,
        reason=f"task {task.name} runs",
        actor=str(run.step(task.name, status.attempt)),
        entrypoint=task.type.entrypoint,
        request=request_of(run, task, tasks, placement, snapshot.surroundings),
        gang=task.type.gang,
    )


def _stop(run: Run, task: Task, status: TaskStatus, snapshot: Snapshot, *, ask: bool) -> Effect:
    """While there is time a step is asked to save what it has; then it is ended."""
    if ask:
        directory = step_directory(run, task.name, snapshot.surroundings)
        return SignalStep(kind="Run", name=run.name, reason=status.reason, directory=directory)
    actor = str(run.step(task.name, status.attempt))
    return EndStep(kind="Run", name=run.name, reason=status.reason, actor=actor)


def _ask(run: Run, task: Task, tasks: Mapping[str, TaskStatus], workload: str) -> Record:
    return Create(
        kind="Workload",
        name=workload,
        event="Requested",
        reason=f"task {task.name} of run {run.name}",
        spec=workload_of(run, task, parameters_of(run, task, tasks)),
    )


def _cancel(run: Run, now: float) -> Mapping[str, TaskStatus]:
    cancel = Progress(TaskEvent.CANCEL, "a newer generation runs")
    return {name: status if status.state.settled else _moved(status, cancel, now) for name, status in run.tasks.items()}


def _phase(tasks: Mapping[str, TaskStatus]) -> tuple[RunPhase, str]:
    failed = [f"{name}: {s.reason}" for name, s in tasks.items() if s.state is TaskState.FAILED]
    if not all(status.state.settled for status in tasks.values()):
        busy = [f"{name}: {s.reason}" for name, s in tasks.items() if not s.state.settled]
        return RunPhase.RUNNING, "; ".join(busy)
    if failed:
        return RunPhase.FAILED, "; ".join(failed)
    skipped = [f"{name} skipped: {s.reason}" for name, s in tasks.items() if s.state is TaskState.SKIPPED]
    return RunPhase.SUCCEEDED, "; ".join(skipped) or "every task succeeded"


def _record(run: Run, tasks: Mapping[str, TaskStatus], phase: RunPhase, reason: str) -> PutStatus:
    news = [
        f"{name} {status.state.value.lower()}: {status.reason}"
        for name, status in tasks.items()
        if run.tasks.get(name, TaskStatus()).state is not status.state
        or run.tasks.get(name, TaskStatus()).attempt != status.attempt
    ]
    return PutStatus(
        kind="Run",
        name=run.name,
        event=phase.value,
        reason="; ".join(news) or reason,
        revision=run.revision,
        status={
            "phase": phase.value,
            "reason": reason,
            "tasks": {name: status.stored() for name, status in tasks.items()},
        },
        quiet=not news and phase is run.phase,
    )


def _sweep(snapshot: Snapshot) -> Plan:
    """End the step actors, and give back the devices, that no task needs."""
    running = [
        (run, task, status)
        for run in snapshot.runs
        if run.phase is RunPhase.RUNNING
        for task, status in run.tasks.items()
    ]
    actors = {str(r.step(t, s.attempt)) for r, t, s in running if s.state.has_step}
    workloads = {r.step(t).workload for r, t, s in running if s.state.holds_devices}
    ends: tuple[Effect, ...] = tuple(
        EndStep(kind="Run", name=step.run, reason="no running task needs it", actor=actor)
        for actor in sorted(snapshot.actors - actors)
        if (step := StepName.parse(actor)) is not None
    )
    # Devices go back only after every actor that may use them is gone.
    lingering = {step.workload for step in map(StepName.parse, snapshot.actors) if step is not None}
    releases = tuple(
        Remove(kind="Workload", name=name, event="Released", reason="its task needs no devices any more")
        for name in sorted(snapshot.placements)
        if name.startswith(STEP_WORKLOAD_PREFIX) and name not in workloads | lingering
    )
    return Plan(releases, ends)
