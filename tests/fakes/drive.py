"""The twin of `control.kernel.drive.RayDrive` without Ray: nodes, actors, placement groups and applications in memory.

Its effects are idempotent like the real ones and looked up by the same names. A test plays the world: it finishes or
kills steps, and says how an application comes along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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
from control.specs.inventory import NodeReport
from tests.fakes.clock import FakeClock
from tests.fakes.replicas import FakeReplicas

ABSENT = AppView(AppState.ABSENT)


def simulated_node(name: str = "sim-0", node_id: str = "a" * 8) -> NodeView:
    """A node as Ray reports one that was started for the declaration `name`."""
    return NodeView(node_id, {"biplane.io/node": name, "ray.io/node-id": node_id}, {"sim-gpu": 8.0})


@dataclass(frozen=True)
class Receipt:
    """What a step left in its directory, and which attempt did."""

    actor: str
    view: StepView


class FakeDrive:
    """A `Drive`. `acts` has every effect that was asked for; `before_act` may raise instead of acting.

    `told_to_stop` has the reason by the step's directory. While `places` is False, groups stay unplaced. An agent
    reports as soon as it was asked for, with no devices of its own: the node then is as declared.
    """

    def __init__(self, *nodes: NodeView, clock: Callable[[], float] | None = None) -> None:
        self.alive_nodes = list(nodes)
        self.collections = FakeReplicas(clock or FakeClock())
        self.alive: dict[str, EnsureStep] = {}
        self.begun: set[tuple[str, str]] = set()
        self.receipts: dict[str, Receipt] = {}
        self.serve: dict[str, AppView] = {}
        self.asked: dict[str, EnsureApp] = {}
        self.placed: dict[str, bool] = {}
        self.bundles: dict[str, EnsureGroup] = {}
        self.told_to_stop: dict[str, str] = {}
        self.agents: dict[str, EnsureAgent] = {}
        self.detached: dict[str, EnsureActor] = {}
        self.cuts: list[CutDevice] = []
        self.places = True
        self.acts: list[Effect] = []
        self.before_act: Callable[[Effect], None] = lambda effect: None

    # What the control plane sees

    def nodes(self) -> tuple[NodeView, ...]:
        return tuple(self.alive_nodes)

    def step(self, actor: str, directory: str) -> StepView:
        receipt = self.receipts.get(directory)
        if receipt is not None and (receipt.view.state is StepState.SUCCEEDED or receipt.actor == actor):
            return receipt.view
        if actor in self.alive:
            return StepView(StepState.RUNNING)
        return StepView(StepState.LOST if (directory, actor) in self.begun else StepState.ABSENT)

    def actors(self, prefix: str) -> frozenset[str]:
        everyone = (*self.alive, *self.detached, *self.collections.processes)
        return frozenset(actor for actor in everyone if actor.startswith(prefix))

    def replicas(self) -> Mapping[str, ReplicaView]:
        return self.collections.look({node.node_id for node in self.alive_nodes})

    def apps(self) -> Mapping[str, AppView]:
        return dict(self.serve)

    def groups(self) -> Mapping[str, bool]:
        return dict(self.placed)

    def act(self, effect: Effect) -> None:
        self.before_act(effect)
        self.acts.append(effect)
        match effect:
            case EnsureStep():
                if effect.actor not in self.alive:
                    self.told_to_stop.pop(effect.request.directory, None)
                    self.alive[effect.actor] = effect
                    self.begun.add((effect.request.directory, effect.actor))
            case EndStep():
                self.alive.pop(effect.actor, None)
            case EnsureApp():
                if effect.app not in self.serve:
                    self.serve[effect.app] = AppView(AppState.STARTING)
                    self.asked[effect.app] = effect
            case EndApp():
                if effect.app in self.serve:
                    self.serve[effect.app] = AppView(AppState.ENDING)
            case EnsureGroup():
                if effect.group not in self.placed:
                    self.placed[effect.group] = self.places
                    self.bundles[effect.group] = effect
            case EndGroup():
                self.placed.pop(effect.group, None)
                self.bundles.pop(effect.group, None)
            case SignalStep():
                self.told_to_stop.setdefault(effect.directory, effect.reason)
            case EnsureAgent():
                if effect.node_id not in self.agents:
                    self.agents[effect.node_id] = effect
                    self.hear(effect.node_id, NodeReport())
            case EnsureActor():
                self.detached.setdefault(effect.actor, effect)
            case EndActor():
                self.detached.pop(effect.actor, None)
            case CutDevice():
                self.cuts.append(effect)
            case EnsureReplica():
                self.collections.ensure(effect)
            case EndReplica():
                self.collections.end(effect)
            case AskPromise():
                self.collections.promise(effect)
            case AssignReplica():
                self.collections.assign(effect)
            case RetuneReplica():
                self.collections.retune(effect)
            case _:
                raise TypeError(f"Ray cannot do {type(effect).__name__}")

    # What the world does

    def finish(self, actor: str, **outputs: str) -> None:
        """The step leaves its receipt; its actor lives on, as the real one does. `_` in a name means `-`."""
        named = {name.replace("_", "-"): text for name, text in outputs.items()}
        self._leave(actor, StepView(StepState.SUCCEEDED, outputs=named))

    def fail(self, actor: str, error: str) -> None:
        self._leave(actor, StepView(StepState.FAILED, error=error))

    def _leave(self, actor: str, view: StepView) -> None:
        self.receipts[self.alive[actor].request.directory] = Receipt(actor, view)

    def kill(self, actor: str) -> None:
        """The process is gone without a receipt."""
        del self.alive[actor]

    def hear(self, node_id: str, report: NodeReport | None, silent: float = 0.0) -> None:
        """What the agent of a node says, or for how long it has said nothing."""
        for index, node in enumerate(self.alive_nodes):
            if node.node_id == node_id:
                self.alive_nodes[index] = replace(node, report=report, silent=silent)

    def turn_app(self, app: str, state: AppState, message: str = "") -> None:
        self.serve[app] = AppView(state, message)

    def remove_ended_apps(self) -> None:
        self.serve = {app: view for app, view in self.serve.items() if view.state is not AppState.ENDING}

    def restart_ray(self) -> None:
        """Every node comes back under another id; what Ray ran is gone."""
        self.alive_nodes = [replace(node, node_id=node.node_id[::-1] + "r", report=None) for node in self.alive_nodes]
        self.alive.clear()
        self.serve.clear()
        self.placed.clear()
        self.bundles.clear()
        self.agents.clear()
        self.detached.clear()
