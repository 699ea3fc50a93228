"""A whole control plane without Ray, vLLM or MLflow: the six real domains and a real store over fakes.

`restart` drops every domain and loop; they have no memory, so nothing else has to happen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from control.gateway.actor import Gateway
from control.kernel.ids import LLM_PREFIX, StepName, life_of, run_name
from control.kernel.loop import Loop
from control.kernel.plan import Effect, EnsureAgent, EnsureStep, PutSpec, Remove
from control.kernel.present import AppState
from control.kernel.store import Conflict, Object, Store
from control.pipeline.actor import Pipeline
from control.pipeline.state import Surroundings as PipelineSurroundings
from control.registry.actor import Registry
from control.registry.catalogue import Catalogue
from control.router.actor import Router
from control.router.retire import DRAIN_SECONDS
from control.router.state import Surroundings as RouterSurroundings
from control.scheduler.actor import Scheduler
from control.specs.load import load_text
from control.vectors.actor import Vectors
from control.vectors.state import Surroundings as VectorsSurroundings
from tests.fakes.clock import FakeClock
from tests.fakes.drive import FakeDrive, simulated_node
from tests.fakes.fuse import FragileStore, Fuse
from tests.fakes.mlflow import FakeMlflow

GATEWAY = "http://127.0.0.1:8000"

CLUSTER = """\
apiVersion: biplane/v1
kind: Cluster
metadata:
  name: local
spec:
  nodes:
    - name: sim-0
      simulated: true
      gpus: 8
      gpu_model: H100-80GB
      gpu_memory: 80Gi
      interconnect: nvswitch
      memory: 512Gi
"""

WORKFLOW = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: tune
spec:
  entrypoint: steps
  templates:
    - name: steps
      dag:
        tasks:
          - name: data
            template: preprocess
          - name: training
            template: train-model
            dependencies: [data]
            arguments:
              parameters:
                - name: gpu-count
                  value: "2"
          - name: evaluation
            template: evaluate
            dependencies: [training]
          - name: deployment
            template: deploy-model
            dependencies: [evaluation]
            when: "{{tasks.evaluation.outputs.parameters.accuracy}} >= 0.9"
"""

POLICY = """\
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata: {name: policy}
spec:
  scheduling:
    preemption:
      enabled: true
      priorities: [{name: critical-inference, priority: 100}, {name: training, priority: 50}]
"""

URGENT = """\
apiVersion: biplane/v1
kind: Workload
metadata: {name: urgent}
spec: {type: inference, devices: 8}
"""


class Plane:
    def __init__(self, url: str = "sqlite://", fuse: Fuse | None = None) -> None:
        self.fuse = fuse or Fuse()
        self.store: Store = FragileStore(url, self.fuse)
        self.clock = FakeClock()
        self.drive = FakeDrive(simulated_node(), clock=self.clock)
        self.mlflow = FakeMlflow()
        self.accuracy = "0.97"
        self.loops: dict[str, Loop[Any]] = {}
        self.restart()
        self.apply(CLUSTER)

    @staticmethod
    def at(directory: Path) -> Plane:
        """A plane on a store in a file."""
        return Plane(f"sqlite:///{directory / 'biplane.db'}")

    def restart(self) -> None:
        """The control actors as they are right after they were started."""
        self.drive.collections.forget()
        around = RouterSurroundings(GATEWAY, "http://mlflow", "/keys/internal", "/models", "/claims")
        registry = Registry(Catalogue(self.mlflow))
        domains: list[tuple[Any, Callable[[Effect], None]]] = [
            (Scheduler(self.drive), self.drive.act),
            (registry, registry.catalogue.act),
            (Router(self.drive, around), self.drive.act),
            (Pipeline(self.drive, PipelineSurroundings("/runs", "http://mlflow", "/claims")), self.drive.act),
            (Gateway(self.drive, {"internal_key_file": "/keys/internal"}), self.drive.act),
            (Vectors(self.drive, VectorsSurroundings("/vectors", "/claims", "/keys/internal")), self.drive.act),
        ]
        self.loops = {domain.name: Loop(domain, self.store, self._fragile(act), self.clock) for domain, act in domains}

    def _fragile(self, act: Callable[[Effect], None]) -> Callable[[Effect], None]:
        def act_and_burn(effect: Effect) -> None:
            act(effect)
            self.fuse.point()

        return act_and_burn

    # The person

    def apply(self, text: str) -> None:
        for document in load_text(text, "test.yaml"):
            spec = document.spec.model_dump(mode="json")
            change = PutSpec(kind=document.kind, name=document.name, event="Applied", reason="test", spec=spec)
            Store.commit(self.store, (change,), who="test", now=self.clock())

    def delete(self, kind: str, name: str) -> None:
        remove = Remove(kind=kind, name=name, event="Deleted", reason="test")
        Store.commit(self.store, (remove,), who="test", now=self.clock())

    # The world

    def turn(self, *names: str) -> None:
        """One pass of each domain, or of those named."""
        self.clock.tick()
        for name in names or tuple(self.loops):
            try:
                self.loops[name].turn()
            except Conflict:
                continue

    def work(self) -> None:
        """Whatever can happen by itself happens: steps finish, or stop when told to; applications come up or go."""
        for actor, step in list(self.drive.alive.items()):
            if step.request.directory in self.drive.told_to_stop:
                self.drive.kill(actor)
            else:
                self.drive.finish(actor, **self.outputs(step))
        for app, view in list(self.drive.serve.items()):
            if view.state is AppState.STARTING:
                self.drive.turn_app(app, AppState.RUNNING)
        self.drive.remove_ended_apps()

    def outputs(self, step: EnsureStep) -> dict[str, str]:
        """What the step gives back; the registration step registers."""
        match step.entrypoint:
            case "train_jobs.prepare:main":
                return {"dataset-dir": "/data", "train-rows": "9", "heldout-rows": "1", "digest": "d1"}
            case "train_jobs.train:main":
                return {"model-dir": "/model", "run-id": "r1", "loss": "0.1", "steps": "3", "seconds": "1"}
            case "train_jobs.evaluate:main":
                return {"accuracy": self.accuracy, "correct": "9", "total": "10"}
            case "train_jobs.register:main":
                made = self.mlflow.register(step.request.parameters["model-name"], step.request.key)
                return {"model": made.model, "version": str(made.version), "source": made.source, "path": "/model"}
            case other:
                raise AssertionError(f"no such step: {other}")

    def settle(self, turns: int = 40) -> None:
        """Let the plane and the world go on until neither changes anything, however much time passes."""
        rested = False
        for _ in range(turns):
            before = (self.store.revision(), self.deeds, self._world())
            self.turn()
            self.work()
            if before != (self.store.revision(), self.deeds, self._world()):
                rested = False
                continue
            if rested:
                return
            rested = True
            self.clock.tick(DRAIN_SECONDS)
        raise AssertionError(f"still moving after {turns} turns")

    def until(self, holds: Callable[[], bool], turns: int = 30) -> None:
        """Turn, without the world doing anything, until something holds."""
        for _ in range(turns):
            if holds():
                return
            self.turn()
        raise AssertionError("it never came")

    @property
    def deeds(self) -> int:
        """How many effects there were, without the agents of nodes, which no pass sees answer and each asks for."""
        return sum(not isinstance(effect, EnsureAgent) for effect in self.drive.acts)

    def _world(self) -> object:
        return (sorted(self.drive.alive), sorted(self.drive.serve.items(), key=str), sorted(self.drive.receipts))

    # What a test asks

    def only(self, kind: str) -> Object:
        (found,) = self.store.list(kind)
        return found

    def run(self, name: str = "tune-1") -> Object:
        found = self.store.get("Run", name)
        assert found is not None
        return found

    def task(self, name: str, run: str = "tune-1") -> dict[str, Any]:
        found: dict[str, Any] = self.run(run).status["tasks"][name]
        return found

    def step(self, task: str, attempt: int = 1, workflow: str = "tune") -> StepName:
        """The name of an attempt at a task of the run that the workflow asks for now."""
        found = self.store.get("Workflow", workflow)
        assert found is not None
        return StepName(run_name(found.name, found.generation), life_of(found.uid), task, attempt)

    def models(self) -> list[str]:
        """The served applications of models, ending ones too."""
        return sorted(app for app in self.drive.serve if app.startswith(LLM_PREFIX))

    def table(self) -> dict[str, Any]:
        return dict(self.only("Table").spec)
