"""The one door to Ray from the control plane: it looks at Ray, and makes it match one effect at a time.

Every effect is idempotent and found again by name, so repeating it after a crash is harmless. Nothing here decides.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.schema import ApplicationStatus

from control.kernel.ids import NAMESPACE
from control.kernel.plan import Effect, EndApp, EndStep, EnsureApp, EnsureStep
from control.kernel.present import AppState, AppView, NodeView, StepState, StepView
from control.specs.step import OUTCOME_FILE, PROGRESS_FILE, begun_file

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

    def nodes(self) -> tuple[NodeView, ...]:
        return tuple(
            NodeView(node["NodeID"], node.get("Labels") or {}, node.get("Resources") or {})
            for node in ray.nodes()
            if node["Alive"]
        )

    def step(self, actor: str, directory: str) -> StepView:
        """The receipt in `directory` if there is one, else whether the actor lives."""
        # Looked up before the receipt is read: an actor that ends in between has left its receipt.
        alive = _find_actor(actor) is not None
        with contextlib.suppress(FileNotFoundError):
            outcome = json.loads((Path(directory) / OUTCOME_FILE).read_text())
            if outcome["ok"]:
                return StepView(StepState.SUCCEEDED, outputs=outcome["outputs"])
            if outcome["actor"] == actor:
                return StepView(StepState.FAILED, error=outcome["error"])
        if alive:
            return StepView(StepState.RUNNING, progress=_first_line(Path(directory) / PROGRESS_FILE))
        return StepView(StepState.LOST if (Path(directory) / begun_file(actor)).exists() else StepState.ABSENT)

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

    def _note_failure(self, app: str, deploying: Any) -> None:
        try:
            ray.get(deploying)
        except ray.exceptions.RayError as error:
            self._failures.setdefault(app, []).append(str(error).strip().splitlines()[-1])

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
    request, grant = effect.request, effect.request.grant
    options: dict[str, Any] = {}
    if grant is not None:
        options["label_selector"] = {"ray.io/node-id": grant.node_id}
        if not effect.gang and grant.devices:
            options["resources"] = {grant.resource: len(grant.devices)}
            if grant.resource == "GPU":
                options = {"label_selector": options["label_selector"], "num_gpus": len(grant.devices)}
    runner = ray.remote(load("actors.step_runner:StepRunner"))
    try:
        runner.options(
            name=effect.actor,
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            # Ray Train looks for "the" Ray of the machine unless it is told which.
            runtime_env={"env_vars": {"RAY_ADDRESS": ray.get_runtime_context().gcs_address, **request.env}},
            **options,
        ).remote(effect.actor, effect.entrypoint, request)
    except ValueError:
        # Another life of this control actor was faster: the name is taken, which is what was wanted.
        if _find_actor(effect.actor) is None:
            raise


@_act.register
def _(effect: EndStep, drive: RayDrive) -> None:
    actor = _find_actor(effect.actor)
    if actor is not None:
        ray.kill(actor, no_restart=True)


@_act.register
def _(effect: EnsureApp, drive: RayDrive) -> None:
    drive.deploy(effect)


@_act.register
def _(effect: EndApp, drive: RayDrive) -> None:
    drive.end_app(effect.app)


@ray.remote(num_cpus=0, max_retries=0)
def _deploy_app(app: str, route_prefix: str, builder: str, args: Mapping[str, Any]) -> None:
    """Build and deploy in a process of its own: builders import engines, control actors stay small."""
    if app not in serve.status().applications:
        target = serve.RunTarget(target=load(builder)(args), name=app, route_prefix=route_prefix)
        serve.run_many([target], wait_for_applications_running=False)


def load(path: str) -> Callable[..., Any]:
    """The object at `module:name`."""
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


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
