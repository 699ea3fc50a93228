"""MLflow as it was last seen: a full look now and then, in between only what changed.

It holds nothing that a new look would not bring back. MLflow moves a version's time of change when it is made, not when
a tag or an alias is set, a figure logged, or a version deleted: those are seen by the full look, a minute later at the
latest (with 10,000 versions, eight).

Not its webhooks: they tell of tags and aliases at once, but refuse addresses that are not public https unless the
server is told otherwise, need a listener of ours, and give up after three tries: they would need all of this as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from control.kernel.plan import Effect, EnsureAlias
from control.registry.lineage import MIRRORED, spec_of
from control.registry.mirror import EnsureTags
from control.registry.state import Registration, Run, SeenVersion

SWEEP_SECONDS = 60.0
SWEEP_SECONDS_A_VERSION = 0.05
"""A full look is this rare at least: it takes MLflow about 0.8 ms a version, which keeps it busy 2 % of the time."""
OVERLAP_SECONDS = 10.0
"""How long versions are looked for that are older than the newest: MLflow takes the time before it commits."""


class Mlflow(Protocol):
    """What the registry sees of MLflow; `MlflowDoor` looks at a server. Every call may raise while it is away."""

    def versions(self, since_ms: int) -> tuple[Registration, ...]:
        """Every complete version that changed at `since_ms` (milliseconds since the epoch) or later; 0 means all."""
        ...

    def pointers(self) -> Mapping[tuple[str, str], int]:
        """For each (model, alias) the version behind it."""
        ...

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, Run]:
        """Those of the runs that there are."""
        ...

    def act(self, effect: Effect) -> None: ...


@dataclass
class Catalogue:
    mlflow: Mlflow
    _found: dict[str, Registration] = field(default_factory=dict)
    _runs: dict[str, Run | None] = field(default_factory=dict)
    _pointers: dict[tuple[str, str], int] = field(default_factory=dict)
    _seen: dict[str, SeenVersion] = field(default_factory=dict)
    _listed: tuple[SeenVersion, ...] = ()
    _newest_ms: int = 0
    _moved_at: float = -math.inf
    _swept_at: float = -math.inf

    def look(self, now: float) -> tuple[SeenVersion, ...]:
        """Every version with its lineage, by model and version. `now` in seconds since the epoch.

        Raises what MLflow raises, and then remembers nothing of this look.
        """
        full = now - self._swept_at >= max(SWEEP_SECONDS, len(self._found) * SWEEP_SECONDS_A_VERSION)
        polled = self.mlflow.versions(0 if full else self._since(now))
        pointers = dict(self.mlflow.pointers()) if full else self._pointers
        changed = {one.name: one for one in polled if self._found.get(one.name) != one}
        if not full and not changed:
            return self._listed
        found = {one.name: one for one in polled} if full else self._found | changed
        # Who changes a version may have logged figures too, and a run that is not over goes on logging them.
        again = {one.run_id for one in changed.values()}
        runs = {
            run_id: run
            for run_id, run in self._runs.items()
            if run_id not in again and not (full and run is not None and run.open)
        }
        # All of them, however many: a version that is left out of a look counts as deleted.
        wanted = dict.fromkeys(one.run_id for one in found.values() if one.run_id and one.run_id not in runs)
        if wanted:
            runs |= wanted | dict(self.mlflow.runs(wanted))
        self._seen = {
            name: _seen(one, runs.get(one.run_id)) if name in changed or one.run_id in wanted else self._seen[name]
            for name, one in found.items()
        }
        self._listed = tuple(sorted(self._seen.values(), key=lambda one: (one.model, one.version)))
        newest = max((one.updated_ms for one in changed.values()), default=0)
        if newest > self._newest_ms:
            self._newest_ms, self._moved_at = newest, now
        self._found, self._runs, self._pointers = found, runs, pointers
        self._swept_at = now if full else self._swept_at
        return self._listed

    @property
    def pointers(self) -> Mapping[tuple[str, str], int]:
        """For each (model, alias) the version behind it, as of the last full look and what was done since."""
        return dict(self._pointers)

    def act(self, effect: Effect) -> None:
        """Do it, and remember that it was done until the next full look."""
        self.mlflow.act(effect)
        match effect:
            case EnsureAlias(version=None):
                self._pointers.pop((effect.model, effect.alias), None)
            case EnsureAlias(version=int(version)):
                self._pointers[effect.model, effect.alias] = version
            case EnsureTags() if effect.name in self._found:
                before, seen = self._found[effect.name], self._seen[effect.name]
                self._found[effect.name] = replace(before, tags={**before.tags, **effect.tags})
                self._seen[effect.name] = replace(seen, mirrored=effect.tags)
                self._listed = tuple(self._seen[one.name] for one in self._listed)

    def _since(self, now: float) -> int:
        overlap = OVERLAP_SECONDS if now - self._moved_at < OVERLAP_SECONDS else 0.0
        return max(1, self._newest_ms - int(overlap * 1000))


def _seen(one: Registration, run: Run | None) -> SeenVersion:
    mirrored = {name: one.tags[name] for name in MIRRORED if name in one.tags}
    return SeenVersion(one.model, one.version, spec_of(one, run), mirrored)
