"""The twin of `control.registry.mlflow_door.MlflowDoor` without MLflow."""

from __future__ import annotations

from collections.abc import Mapping

from control.kernel.plan import Effect, EnsureAlias
from control.registry.mlflow_door import MlflowDoor
from control.registry.state import SeenVersion

KEY = "biplane.key"


class FakeMlflow(MlflowDoor):
    """Versions and aliases in memory; `away` makes every call fail as when the server does not answer."""

    def __init__(self) -> None:
        self.registered: list[SeenVersion] = []
        self.marks: dict[tuple[str, str], int] = {}
        self.away = False

    def register(self, model: str, key: str) -> SeenVersion:
        """The version that `key` made before, else a new one, as the registration step does it."""
        for version in self.registered:
            if version.model == model and version.tags[KEY] == key:
                return version
        number = 1 + sum(version.model == model for version in self.registered)
        made = SeenVersion(model, number, f"run-{number}", f"mlflow-artifacts:/{model}/{number}", {KEY: key})
        self.registered.append(made)
        return made

    def versions(self) -> tuple[SeenVersion, ...]:
        self._answer()
        return tuple(sorted(self.registered, key=lambda v: (v.model, v.version)))

    def aliases(self, alias: str) -> Mapping[str, int]:
        self._answer()
        return {model: version for (model, name), version in self.marks.items() if name == alias}

    def act(self, effect: Effect) -> None:
        self._answer()
        match effect:
            case EnsureAlias(version=None):
                self.marks.pop((effect.model, effect.alias), None)
            case EnsureAlias(version=int(version)):
                self.marks[effect.model, effect.alias] = version
            case _:
                raise TypeError(f"MLflow cannot do {type(effect).__name__}")

    def _answer(self) -> None:
        if self.away:
            raise ConnectionError("MLflow does not answer")
