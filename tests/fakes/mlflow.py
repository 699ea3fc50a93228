"""The twin of `control.registry.mlflow_door.MlflowDoor` without MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from control.kernel.plan import Effect, EnsureAlias
from control.registry.mirror import EnsureTags
from control.registry.state import Registration, Run
from tests.fakes.fuse import Crash

KEY = "biplane.key"


class FakeMlflow:
    """Versions, runs and aliases in memory; `away` makes every call fail as when the server does not answer.

    `read` counts the versions and runs that were read, `calls` the calls. As in MLflow, a tag that is set does not move
    a version's time of change.
    """

    def __init__(self) -> None:
        self.registered: list[Registration] = []
        self.logged: dict[str, Run] = {}
        self.marks: dict[tuple[str, str], int] = {}
        self.away = False
        self.now_ms = 1_000_000
        self.calls = 0
        self.read = 0

    def register(self, model: str, key: str, **tags: str) -> Registration:
        """The version that `key` made before, else a new one, as the registration step does it."""
        for version in self.registered:
            if version.model == model and version.tags[KEY] == key:
                return version
        number = 1 + max((version.version for version in self.registered if version.model == model), default=0)
        self.now_ms += 1
        made = Registration(
            model=model,
            version=number,
            run_id=f"run-{number}",
            source=f"mlflow-artifacts:/{model}/{number}",
            tags={KEY: key, **tags},
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
        )
        self.registered.append(made)
        return made

    def tag(self, name: str, **tags: str) -> None:
        self.registered = [replace(v, tags={**v.tags, **tags}) if v.name == name else v for v in self.registered]

    def delete(self, name: str) -> None:
        """As MLflow does it: its aliases go too."""
        self.registered = [version for version in self.registered if version.name != name]
        self.marks = {key: number for key, number in self.marks.items() if f"{key[0]}@{number}" != name}

    def aliases(self, alias: str) -> Mapping[str, int]:
        """For each model that has `alias`, the version behind it."""
        return {model: version for (model, name), version in self.marks.items() if name == alias}

    def tags_of(self, name: str) -> Mapping[str, str]:
        (found,) = (version.tags for version in self.registered if version.name == name)
        return found

    # What the registry sees

    def versions(self, since_ms: int) -> tuple[Registration, ...]:
        self._answer()
        found = tuple(version for version in self.registered if version.updated_ms >= since_ms)
        self.read += len(found)
        return found

    def pointers(self) -> Mapping[tuple[str, str], int]:
        self._answer()
        return dict(self.marks)

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, Run]:
        self._answer()
        found = {one: self.logged[one] for one in run_ids if one in self.logged}
        self.read += len(found)
        return found

    def act(self, effect: Effect) -> None:
        self._answer()
        match effect:
            case EnsureAlias(version=None):
                self.marks.pop((effect.model, effect.alias), None)
            case EnsureAlias(version=int(version)):
                self.marks[effect.model, effect.alias] = version
            case EnsureTags():
                self.tag(effect.name, **effect.tags)
            case _:
                raise TypeError(f"MLflow cannot do {type(effect).__name__}")

    def _answer(self) -> None:
        self.calls += 1
        if self.away:
            raise ConnectionError("MLflow does not answer")


class FakeUploads:
    """The part of `mlflow.MlflowClient` that an import uses; after `dies_after` changes the process is dead."""

    def __init__(self) -> None:
        self.begun: list[SimpleNamespace] = []
        self.files: dict[str, dict[str, bytes]] = {}
        self.models: set[str] = set()
        self.versions: list[SimpleNamespace] = []
        self.dies_after = 1_000_000

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(experiment_id=name) if self.begun else None

    def create_experiment(self, name: str) -> str:
        return name

    def search_runs(self, experiment_ids: list[str], filter_string: str) -> list[SimpleNamespace]:
        return [run for run in self.begun if run.key in filter_string]

    def create_run(self, experiment_id: str, *, tags: dict[str, str]) -> SimpleNamespace:
        self._step()
        identity = f"run{len(self.begun)}"
        info = SimpleNamespace(run_id=identity, artifact_uri=f"mlflow-artifacts:/{identity}")
        self.begun.append(SimpleNamespace(info=info, key=tags[KEY], over=False))
        return self.begun[-1]

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str) -> None:
        self._step()
        path = Path(local_path)
        self.files.setdefault(run_id, {})[f"{artifact_path}/{path.name}"] = path.read_bytes()

    def set_terminated(self, run_id: str) -> None:
        (run,) = (run for run in self.begun if run.info.run_id == run_id)
        run.over = True

    def search_registered_models(self, filter_string: str) -> list[str]:
        return [name for name in self.models if f"'{name}'" in filter_string]

    def create_registered_model(self, name: str) -> None:
        self._step()
        self.models.add(name)

    def search_model_versions(self, filter_string: str) -> list[SimpleNamespace]:
        return [v for v in self.versions if f"'{v.name}'" in filter_string and v.tags[KEY] in filter_string]

    def create_model_version(self, name: str, source: str, run_id: str, *, tags: dict[str, str]) -> SimpleNamespace:
        self._step()
        number = 1 + sum(version.name == name for version in self.versions)
        made = SimpleNamespace(name=name, version=str(number), source=source, run_id=run_id, tags=tags)
        self.versions.append(made)
        return made

    def _step(self) -> None:
        self.dies_after -= 1
        if self.dies_after == -1:
            raise Crash
