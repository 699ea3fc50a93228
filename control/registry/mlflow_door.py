"""The one door to MLflow from the control plane: which versions and aliases there are, and setting an alias."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient

from control.kernel.plan import Effect, EnsureAlias
from control.registry.state import SeenVersion


class MlflowDoor:
    """The registry of the MLflow server at `url`. Every call may raise MlflowException while the server is away."""

    def __init__(self, url: str) -> None:
        self._client = MlflowClient(tracking_uri=url, registry_uri=url)

    def versions(self) -> tuple[SeenVersion, ...]:
        """Every version that is complete, in the order in which they were made."""
        found, token = [], None
        while True:
            page = self._client.search_model_versions(max_results=1000, page_token=token)
            found += [
                SeenVersion(v.name, int(v.version), v.run_id or "", v.source, dict(v.tags))
                for v in page
                if v.status == "READY"
            ]
            token = page.token
            if not token:
                return tuple(sorted(found, key=lambda v: (v.model, v.version)))

    def aliases(self, alias: str) -> Mapping[str, int]:
        """For each model that has `alias`, the version behind it."""
        found: dict[str, int] = {}
        token = None
        while True:
            page = self._client.search_registered_models(max_results=1000, page_token=token)
            found |= {m.name: int(m.aliases[alias]) for m in page if alias in m.aliases}
            token = page.token
            if not token:
                return found

    def act(self, effect: Effect) -> None:
        match effect:
            case EnsureAlias(version=None):
                self._client.delete_registered_model_alias(effect.model, effect.alias)
            case EnsureAlias():
                self._client.set_registered_model_alias(effect.model, effect.alias, str(effect.version))
            case _:
                raise TypeError(f"MLflow cannot do {type(effect).__name__}")
