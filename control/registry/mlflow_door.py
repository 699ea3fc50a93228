"""The one door to MLflow from the control plane: what there is, and the aliases and tags that mirror our record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import ViewType

from control.kernel.plan import Effect, EnsureAlias
from control.registry.mirror import EnsureTags
from control.registry.state import Registration, Run

FEW, MANY = 20, 200_000
"""Versions a page: what changed lately is few; all are asked for at once, the most that MLflow gives, as a version that
moves or goes between two pages would make one be missed, and that counts as deleted."""
RUNS = 200
MOST_EXPERIMENTS = 50_000
USER_TAG = "mlflow.user"


class MlflowDoor:
    """The registry of the MLflow server at `url`. Every call may raise MlflowException while the server is away."""

    def __init__(self, url: str) -> None:
        self._client = MlflowClient(tracking_uri=url, registry_uri=url)

    def versions(self, since_ms: int) -> tuple[Registration, ...]:
        """Every complete version that changed at `since_ms` or later, the latest change first; 0 means all."""
        found: list[Registration] = []
        token = None
        while True:
            page = self._client.search_model_versions(
                max_results=MANY if since_ms == 0 else FEW,
                order_by=["last_updated_timestamp DESC", "name ASC", "version_number ASC"],
                page_token=token,
            )
            found += [_registration(one) for one in page if one.status == "READY"]
            token = page.token
            if not token or page[-1].last_updated_timestamp < since_ms:
                return tuple(one for one in found if one.updated_ms >= since_ms)

    def pointers(self) -> Mapping[tuple[str, str], int]:
        """For each (model, alias) the version behind it."""
        found: dict[tuple[str, str], int] = {}
        token = None
        while True:
            page = self._client.search_registered_models(max_results=1000, page_token=token)
            found |= {(m.name, alias): int(version) for m in page for alias, version in m.aliases.items()}
            token = page.token
            if not token:
                return found

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, Run]:
        """Those of the runs that there are: a call for every RUNS of them, and one for the experiments."""
        wanted = list(run_ids)
        experiments = [e.experiment_id for e in self._client.search_experiments(max_results=MOST_EXPERIMENTS)]
        found: dict[str, Run] = {}
        for first in range(0, len(wanted), RUNS):
            listed = ", ".join(f"'{one}'" for one in wanted[first : first + RUNS] if one.isalnum())
            if listed:
                among = f"attributes.run_id IN ({listed})"
                page = self._client.search_runs(experiments, among, ViewType.ALL, max_results=RUNS)
                found |= {one.info.run_id: _run(one) for one in page}
        return found

    def act(self, effect: Effect) -> None:
        match effect:
            case EnsureAlias(version=None):
                self._client.delete_registered_model_alias(effect.model, effect.alias)
            case EnsureAlias():
                self._client.set_registered_model_alias(effect.model, effect.alias, str(effect.version))
            case EnsureTags():
                for name, value in effect.tags.items():
                    self._client.set_model_version_tag(effect.model, str(effect.version), name, value)
            case _:
                raise TypeError(f"MLflow cannot do {type(effect).__name__}")


def _registration(one: Any) -> Registration:
    return Registration(
        model=one.name,
        version=int(one.version),
        run_id=one.run_id or "",
        source=one.source or "",
        tags={name: value or "" for name, value in one.tags.items()},
        created_ms=int(one.creation_timestamp or 0),
        updated_ms=int(one.last_updated_timestamp or 0),
        by=one.user_id or "",
    )


def _run(one: Any) -> Run:
    return Run(
        open=one.info.status in ("RUNNING", "SCHEDULED"),
        by=one.data.tags.get(USER_TAG, ""),
        parameters=dict(one.data.params),
        metrics=dict(one.data.metrics),
        tags={name: value for name, value in one.data.tags.items() if not name.startswith("mlflow.")},
    )
