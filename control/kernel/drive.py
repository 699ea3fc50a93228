"""The one door to Ray from the control plane: it looks at Ray, and makes it match one effect at a time.

Every effect is idempotent and found again by name, so repeating it after a crash is harmless. Nothing here decides.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray._private.state import state
from ray.serve.schema import ApplicationStatus

from control.kernel.agents import Agents
from control.kernel.groups import Groups
from control.kernel.home import write_atomically
from control.kernel.ids import NAMESPACE
from control.kernel.imports import load
from control.kernel.plan import (
    AskPromise,
    AssignReplica,
    CutDevice,
    Effect,
    EndActor,
    EndApp,
    EndGroup,
    EndReplica,
    EndStep,
    EnsureActor,
    EnsureAgent,
    EnsureApp,
    EnsureGroup,
    EnsureReplica,
    EnsureStep,
    RetuneReplica,
    SignalStep,
)
from control.kernel.present import AppState, AppView, NodeView, ReplicaView, StepState, StepView
from control.kernel.replicas import Replicas
from control.specs.step import EVICT_FILE, OUTCOME_FILE, PROGRESS_FILE, DeviceGrant, begun_file

MAX_DEPLOYS = 3
"""How often building an application may fail before the application counts as failed."""
_APP_STATES = {
    ApplicationStatus.NOT_STARTED: AppState.STARTING,
    ApplicationStatus.DEPLOYING: AppState.STARTING,
    ApplicationStatus.RUNNING: AppState.RUNNING,
    ApplicationStatus.UNHEALTHY: AppState.SICK,
    ApplicationStatus.DEPLOY_FAILED: AppState.FAILED,
    ApplicationStatus.DELETING: AppState.ENDING,
}


class RayDrive:
    """The `Drive` of the Ray cluster that this process is connected to."""

    def __init__(self) -> None:
        self._deploying: dict[str, Any] = {}
        self._failures: dict[str, list[str]] = {}
        self._beginning: dict[str, Any] = {}  # by actor: ready when it has begun, or cannot
        self._live: frozenset[str] = frozenset()
        self.placement_groups = Groups()
        self.agents = Agents()
        self.collections = Replicas()

    def nodes(self) -> tuple[NodeView, ...]:
        """The live nodes; with reports of those whose agent this process asked for."""
        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        if nodes.keys() != self._live:
            self._live = frozenset(nodes)
            self.placement_groups.look_again()
        available = state.available_resources_per_node()
        reports = self.agents.look(self._live)
        views = []
        for node_id, node in nodes.items():
            resources = node.get("Resources") or {}
            free = available.get(node_id)
            # A node that has just joined has not said yet what is free; what is used up is left out.
            used = {} if free is None else {name: amount - free.get(name, 0.0) for name, amount in resources.items()}
            report, silent = reports.get(node_id, (None, 0.0))
            views.append(
                NodeView(
                    node_id,
                    node.get("Labels") or {},
                    resources,
                    used,
                    report,
                    silent,
                    hostname=node.get("NodeManagerHostname") or "",
                )
            )
        return tuple(views)

    def replicas(self) -> Mapping[str, ReplicaView]:
        """The actors of collections' replicas that this process asked for, as of the last look at the nodes."""
        return self.collections.look(self._live)

    def groups(self) -> Mapping[str, bool]:
        """The placement groups made for workloads, by their names; True for those that Ray has placed."""
        return self.placement_groups.seen()

    def step(self, actor: str, directory: str) -> StepView:
        """The receipt in `directory` if there is one, else whether the actor lives, or why it could not begin."""
        # Looked up before the receipt is read: an actor that ends in between has left its receipt.
        alive = _find_actor(actor) is not None
        error = "" if alive else self._why_not_begun(actor)
        with contextlib.suppress(FileNotFoundError):
            outcome = json.loads((Path(directory) / OUTCOME_FILE).read_text())
            if outcome["ok"]:
                return StepView(StepState.SUCCEEDED, outputs=outcome["outputs"])
            if outcome["actor"] == actor:
                return StepView(StepState.FAILED, error=outcome["error"])
        if alive:
            return StepView(StepState.RUNNING, progress=_first_line(Path(directory) / PROGRESS_FILE))
        began = (Path(directory) / begun_file(actor)).exists()
        return StepView(StepState.LOST if began else StepState.ABSENT, error=error)

    def actors(self, prefix: str) -> frozenset[str]:
        """Names of the live actors of this plane that begin with `prefix`."""
        named = ray.util.list_named_actors(all_namespaces=True)
        return frozenset(
            row["name"] for row in named if row["namespace"] == NAMESPACE and row["name"].startswith(prefix)
        )

    def apps(self) -> Mapping[str, AppView]:
        """The Serve applications by name. Serve reports none of what it is not running."""
        seen = {
            name: AppView(_APP_STATES[app.status], app.message or _deployment_message(app))
            for name, app in serve.status().applications.items()
        }
        for name, deploying in list(self._deploying.items()):
            if ray.wait([deploying], timeout=0)[0]:
                del self._deploying[name]
                self._note_failure(name, deploying)
        for name in self._deploying:
            seen.setdefault(name, AppView(AppState.STARTING))
        for name, failures in self._failures.items():
            if len(failures) >= MAX_DEPLOYS:
                seen.setdefault(name, AppView(AppState.FAILED, failures[-1]))
        return seen

    def act(self, effect: Effect) -> None:
        _act(effect, self)

    def begin(self, actor: str, handle: Any) -> None:
        """Remember how to find out why the actor does not begin, if it does not."""
        self._beginning[actor] = handle.__ray_ready__.remote()

    def _why_not_begun(self, actor: str) -> str:
        """What Ray says of an actor that is gone; empty when it had begun, or another process started it."""
        ready = self._beginning.pop(actor, None)
        if ready is None or not ray.wait([ready], timeout=0)[0]:
            return ""
        try:
            ray.get(ready)
        except ray.exceptions.RayError as error:
            return _last_line(error)
        return ""

    def _note_failure(self, app: str, deploying: Any) -> None:
        try:
            ray.get(deploying)
        except ray.exceptions.RayError as error:
            self._failures.setdefault(app, []).append(_last_line(error))

    def end_app(self, app: str) -> None:
        self._failures.pop(app, None)
        if app in serve.status().applications:
            serve.delete(app, _blocking=False)

    def deploy(self, effect: EnsureApp) -> None:
        if effect.app not in self._deploying and effect.app not in serve.status().applications:
            self._deploying[effect.app] = _deploy_app.remote(
                effect.app, effect.route_prefix, effect.builder, dict(effect.args)
            )


@functools.singledispatch
def _act(effect: Effect, drive: RayDrive) -> None:
    raise TypeError(f"Ray cannot do {type(effect).__name__}")


@_act.register
def _(effect: EnsureStep, drive: RayDrive) -> None:
    if _find_actor(effect.actor) is not None:
        return
    request = effect.request
    # It was meant for the attempt before: this one has been given devices anew.
    (Path(request.directory) / EVICT_FILE).unlink(missing_ok=True)
    options = {"num_cpus": 0} if request.grant is None else _on(request.grant, effect.gang)
    runner = ray.remote(load("actors.step_runner:StepRunner"))
    try:
        handle = runner.options(
            name=effect.actor,
            namespace=NAMESPACE,
            lifetime="detached",
            # Ray Train looks for "the" Ray of the machine unless it is told which.
            runtime_env={"env_vars": {"RAY_ADDRESS": ray.get_runtime_context().gcs_address, **request.env}},
            **options,
        ).remote(effect.actor, effect.entrypoint, request, effect.gang)
    except ValueError:
        # Another life of this control actor was faster: the name is taken, which is what was wanted.
        if _find_actor(effect.actor) is None:
            raise
    else:
        drive.begin(effect.actor, handle)


def _on(grant: DeviceGrant, gang: bool) -> dict[str, Any]:
    """The options of an actor that takes the granted devices, or of one whose workers take them, on any of their nodes.

    Raises ValueError when one actor should take devices of several nodes.
    """
    nodes = grant.node_ids
    if gang or not (grant.devices or grant.cpu):
        somewhere = {"label_selector": {"ray.io/node-id": f"in({', '.join(nodes)})"}} if nodes else {}
        return {"num_cpus": 0, **somewhere}
    if len(nodes) > 1:
        raise ValueError(f"one actor was given devices of {len(nodes)} nodes: {', '.join(nodes)}; expected one node")
    amounts: dict[str, float] = {}
    for piece in grant.pieces:
        amounts[piece.resource] = amounts.get(piece.resource, 0.0) + piece.amount
    gpus = amounts.pop("GPU", None)
    options: dict[str, Any] = {
        "label_selector": {"ray.io/node-id": nodes[0]},
        "resources": {resource: amount for resource, amount in amounts.items() if amount},
        "num_cpus": grant.cpu / 1000,
    }
    return options if gpus is None else {**options, "num_gpus": gpus}


@_act.register
def _(effect: EndStep, drive: RayDrive) -> None:
    actor = _find_actor(effect.actor)
    if actor is not None:
        ray.kill(actor, no_restart=True)


@_act.register
def _(effect: EnsureActor, drive: RayDrive) -> None:
    ray.remote(load(effect.entrypoint)).options(
        name=effect.actor,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_concurrency=effect.threads,
        num_cpus=0,
        resources={"node:__internal_head__": 0.001},
    ).remote()


@_act.register
def _(effect: EndActor, drive: RayDrive) -> None:
    actor = _find_actor(effect.actor)
    if actor is not None:
        ray.kill(actor, no_restart=True)


@_act.register
def _(effect: EnsureApp, drive: RayDrive) -> None:
    drive.deploy(effect)


@_act.register
def _(effect: EndApp, drive: RayDrive) -> None:
    drive.end_app(effect.app)


@_act.register
def _(effect: EnsureGroup, drive: RayDrive) -> None:
    drive.placement_groups.ensure(effect)


@_act.register
def _(effect: EndGroup, drive: RayDrive) -> None:
    drive.placement_groups.end(effect)


@_act.register
def _(effect: SignalStep, drive: RayDrive) -> None:
    file = Path(effect.directory) / EVICT_FILE
    if not file.exists():
        write_atomically(file, f"{effect.reason}\n")


@_act.register
def _(effect: EnsureAgent, drive: RayDrive) -> None:
    drive.agents.ensure(effect)


@_act.register
def _(effect: CutDevice, drive: RayDrive) -> None:
    drive.agents.cut(effect)


@_act.register
def _(effect: EnsureReplica, drive: RayDrive) -> None:
    pinned = {"num_cpus": 0, "label_selector": {"ray.io/node-id": effect.node_id}}
    drive.collections.ensure(effect, _on(effect.grant, gang=False) if effect.grant else pinned)


@_act.register
def _(effect: EndReplica, drive: RayDrive) -> None:
    drive.collections.end(effect)


@_act.register
def _(effect: AskPromise, drive: RayDrive) -> None:
    drive.collections.promise(effect)


@_act.register
def _(effect: AssignReplica, drive: RayDrive) -> None:
    drive.collections.assign(effect)


@_act.register
def _(effect: RetuneReplica, drive: RayDrive) -> None:
    drive.collections.retune(effect)


@ray.remote(num_cpus=0, max_retries=0)
def _deploy_app(app: str, route_prefix: str, builder: str, args: Mapping[str, Any]) -> None:
    """Build and deploy in a process of its own: builders import engines, control actors stay small."""
    if app not in serve.status().applications:
        target = serve.RunTarget(target=load(builder)(args), name=app, route_prefix=route_prefix or None)
        serve.run_many([target], wait_for_applications_running=False)


def _last_line(error: Exception) -> str:
    """Where the text of an error from another process ends, after its traceback."""
    return str(error).strip().splitlines()[-1]


def _first_line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0]
    except FileNotFoundError:
        return ""


def _find_actor(name: str) -> Any | None:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _deployment_message(app: Any) -> str:
    return "; ".join(d.message for d in app.deployments.values() if d.message)
