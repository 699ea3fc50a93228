"""The typed way in: for the command line, for drivers, and for the data plane's reading of tables.

It writes goals to the store and reads what is observed; the control actors do the rest. It needs no connection to
Ray, so it answers while Ray is down, and works the same inside a submitted job.
"""

from __future__ import annotations

import functools
import getpass
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control import deletion
from control.checks import Surroundings, check_documents
from control.explain import Finding, explain
from control.health import Health, health_of
from control.insight import occupancy_of
from control.kernel.bell import ring
from control.kernel.clock import Clock, system_clock
from control.kernel.database import shown
from control.kernel.home import Home, Settings
from control.kernel.ids import DOMAINS, WAKE_PREFIX, run_name
from control.kernel.plan import PutSpec, Record, Remove
from control.kernel.store import Conflict, Event, Heartbeat, Object, Store
from control.preflight import Refused
from control.preview import Preview, preview
from control.registry.view import KINDS
from control.router.rollout_state import Action
from control.router.view import REQUEST_KIND
from control.scheduler.occupancy import Occupancy
from control.specs.document import Document
from control.specs.problem import Problem, nearest

FOLLOW_SECONDS = 0.2
_SETTLED = {"Succeeded": True, "Failed": False, "Cancelled": False, "Ready": True, "Leased": True}
"""The phases in which an object stays by itself, and whether that is what was wanted."""
STALE_SECONDS = 15.0
"""A control actor that gave no sign of life for so long is reported as silent."""


class NoPlane(Exception):
    """Nothing was ever started on this state directory."""


class NotFound(Exception):
    """No object of this kind and name."""


class NotDeletable(Exception):
    """The object is observed, not wanted: it goes when what it shows goes."""


@dataclass(frozen=True)
class Applied:
    """What became of one document: created, changed, or unchanged (or would become, in a dry run)."""

    kind: str
    name: str
    outcome: str


@dataclass(frozen=True)
class Result:
    """One `apply`: what became of each document, what to know, and what each would do."""

    applied: tuple[Applied, ...]
    warnings: tuple[Problem, ...]
    previews: tuple[Preview, ...]


@dataclass(frozen=True)
class Settled:
    """Where `wait` ended; `well` is False when it failed or was cancelled."""

    object: Object
    well: bool


@dataclass(frozen=True)
class Status:
    """How the plane is. `silent` names the control actors that gave no sign of life lately."""

    home: str
    store: str
    urls: Mapping[str, str]
    heartbeats: tuple[Heartbeat, ...]
    silent: tuple[str, ...]
    objects: tuple[Object, ...]


WANTED_KINDS = (
    "Workflow",
    "Deployment",
    "Workload",
    "StepTemplate",
    "Gateway",
    "ConfigMap",
    "ClusterPolicy",
    "Queue",
    "Cluster",
    "Cordon",
    "ApiKey",
    "Collection",
)
"""What a person may write and delete."""
OBSERVED_KINDS = ("Run", "ModelVersion", "Node", "Table", "Shard")
"""What the control plane writes by itself."""
_ALIASES = {
    "model": "ModelVersion",
    "models": "ModelVersion",
    "version": "ModelVersion",
    "versions": "ModelVersion",
}


def kind_of(word: str) -> str:
    """The kind that a person means: any case, singular or plural. Raises NotFound with the nearest kind."""
    kinds = {kind.lower(): kind for kind in (*WANTED_KINDS, *OBSERVED_KINDS)}
    plurals = {_plural(word): kind for word, kind in kinds.items()}
    choices = {**kinds, **plurals, **_ALIASES}
    found = choices.get(word.lower())
    if found is None:
        close = nearest(word.lower(), choices)
        hint = f"did you mean {close!r}?" if close else f"there are: {', '.join(sorted(kinds))}"
        raise NotFound(f"there is no kind {word!r}; {hint}")
    return found


class Client:
    """The plane whose state is in `home` (BIPLANE_HOME, or the user's state directory, when not given)."""

    def __init__(self, home: Home | None = None, *, who: str | None = None, clock: Clock = system_clock) -> None:
        self.home = home or Home.find()
        self._who = who or getpass.getuser()
        self._clock = clock

    @functools.cached_property
    def store(self) -> Store:
        """The store. Raises NoPlane when there is none yet."""
        return Store(self.store_url)

    @property
    def store_url(self) -> str:
        """Where the store is. Raises NoPlane when there is none yet: only `biplane up` makes one."""
        if not self.exists:
            raise NoPlane(f"no plane was started on {self.home.path}; start one with: biplane up")
        return self.home.store_url

    @property
    def exists(self) -> bool:
        return self.home.settings_file.exists()

    def apply(self, documents: Sequence[Document], *, dry_run: bool = False, force: bool = False) -> Result:
        """Make the documents what is wanted, all or none. Raises SpecError, NoPlane.

        A dry run needs no plane, writes nothing and looks nothing up outside the files. With `force` a deployment's
        change takes the place of a roll-out that goes on, which is refused otherwise.
        """
        stored = self.store.list() if self.exists or not dry_run else ()
        around = Surroundings.of(documents, stored, started=self.exists, force=force)
        warnings = check_documents(documents, around)
        known = {(o.kind, o.name): o.spec for o in stored}
        specs = [(document.kind, document.name, document.spec.model_dump(mode="json")) for document in documents]
        applied = tuple(Applied(kind, name, _outcome(known.get((kind, name)), spec)) for kind, name, spec in specs)
        if not dry_run:
            resting = {(o.kind, o.name) for o in stored if o.status.get("failed_binds")}  # applied again they are tried
            changes = [
                PutSpec(
                    kind=kind,
                    name=name,
                    event=a.outcome.capitalize(),
                    reason="applied",
                    spec=spec,
                    again=(kind, name) in resting,
                )
                for (kind, name, spec), a in zip(specs, applied, strict=True)
                if a.outcome != "unchanged" or (kind, name) in resting
            ]
            if changes:
                self.commit(*changes)
        return Result(applied, warnings, tuple(preview(document, around.steps) for document in documents))

    def get(self, kind: str, name: str | None = None) -> tuple[Object, ...]:
        """The objects of a kind, or the one of that name. Raises NotFound."""
        objects = self.store.list(kind)
        if name is None:
            return objects
        found = tuple(o for o in objects if o.name == name)
        if not found:
            close = nearest(name, [o.name for o in objects])
            raise NotFound(f"there is no {kind} {name!r}" + (f"; did you mean {close!r}?" if close else ""))
        return found

    def delete(self, kind: str, name: str, *, dry_run: bool = False, drain: bool = False) -> Object:
        """Want it no more: what it started is ended by its domain, and no request that has begun is cut off.

        Raises NotFound, NotDeletable; and Refused where it has traffic, unless that is to be drained, and for an API
        key that is still good.
        """
        (found,) = self.get(kind, name)
        if kind not in WANTED_KINDS:
            raise NotDeletable(deletion.observed(found, self.store.list(*KINDS)))
        if good := deletion.still_opens(found, self._clock()):
            raise Refused(good)
        used = deletion.in_use(found, self.store.heartbeats(WAKE_PREFIX), self._clock())
        if used and not drain:
            raise Refused(f"{used}; --drain deletes it all the same, when the requests that it has are answered")
        if not dry_run:
            self.commit(Remove(kind=kind, name=name, event="Deleted", reason="asked for"))
        return found

    def rerun(self, workflow: str) -> str:
        """Run a workflow again from its first step, under a new generation; returns the run's name."""
        while True:
            (found,) = self.get("Workflow", workflow)
            change = PutSpec(
                kind="Workflow",
                name=workflow,
                event="Rerun",
                reason="asked for",
                revision=found.revision,
                spec=found.spec,
                again=True,
            )
            try:
                self.commit(change)
            except Conflict:
                continue  # somebody applied in between: run what they want
            return run_name(workflow, found.generation + 1)

    def ask_rollout(self, deployment: str, action: Action) -> None:
        """Ask something of a deployment's roll-out; the router answers with its next pass. Raises NotFound."""
        (found,) = self.get("Deployment", deployment)
        spec = {"deployment": found.uid, "action": action.value, "who": self._who}
        event = f"Rollout{action.value.capitalize()}Asked"
        self.commit(PutSpec(kind=REQUEST_KIND, name=deployment, event=event, reason="asked for", spec=spec, again=True))

    def commit(self, *records: Record) -> None:
        """Write all records or none: the control loops of this machine then look at once. Raises Conflict."""
        self.store.commit(records, who=self._who, now=self._clock())
        ring(self.home.bells)

    def events(
        self, kind: str | None = None, name: str | None = None, *, after: int | None = None, limit: int = 100
    ) -> tuple[Event, ...]:
        return self.store.events(kind, name, after=after, limit=limit)

    def follow(self, kind: str | None = None, name: str | None = None, *, after: int = 0) -> Iterator[Event]:
        """New events as they happen, for ever."""
        while True:
            for event in self.events(kind, name, after=after):
                after = event.seq
                yield event
            time.sleep(FOLLOW_SECONDS)

    def wait(
        self,
        kind: str,
        name: str,
        *,
        timeout: float,
        on_event: Callable[[Event], None] | None = None,
        on_reason: Callable[[str], None] | None = None,
    ) -> Settled:
        """Follow an object until nothing more happens to it by itself.

        `on_reason` is told what the object waits for, or how far it is, as often as that changes. Raises NotFound,
        and TimeoutError with the reason of the wait after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        (asked,) = self.get(kind, name)
        if kind == "Workflow":
            kind, name = "Run", run_name(asked.name, asked.generation)
        after, told = 0, ""
        while True:
            for event in self.events(kind, name, after=after):
                after = event.seq
                if on_event is not None:
                    on_event(event)
            self._still_wanted(asked)
            now = self.store.get(kind, name)
            phase = now.status.get("phase", "") if now else ""
            if now is not None and phase in _SETTLED and now.status.get("generation") in (None, now.generation):
                return Settled(now, well=_SETTLED[phase])
            reason = now.status.get("reason", "") if now else "the pipeline runner has not seen it yet"
            if on_reason is not None and reason != told:
                on_reason(told := reason)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{kind}/{name} is still {phase or 'unseen'} after {timeout:.0f} s: {reason}")
            time.sleep(FOLLOW_SECONDS)

    def evicted(self, workload: str) -> str:
        """Why the workload has to stop; empty while it may go on. Raises NotFound.

        For what runs in the placement group of its lease: after the grace that the workload asked for, the group
        is removed and what runs in it is killed.
        """
        (found,) = self.get("Workload", workload)
        return str(found.status["reason"]) if found.status.get("eviction") else ""

    def _still_wanted(self, asked: Object) -> None:
        """Raises NotFound when the object was deleted, or deleted and made anew."""
        now = self.store.get(asked.kind, asked.name)
        if now is None or now.uid != asked.uid:
            raise NotFound(f"{asked.kind} {asked.name} was deleted meanwhile")

    def explain(self, kind: str, name: str) -> tuple[Finding, ...]:
        """Why the object is as it is, and why what it needs is as it is. Raises NotFound."""
        (found,) = self.get(kind, name)
        return explain(found, self.store.list(), self._clock())

    def occupancy(self) -> Occupancy:
        """Nodes, devices, slices and who holds them, as the scheduler last wrote them down."""
        return occupancy_of(self.store.list(), self._clock())

    def cordon(self, name: str, reason: str, *, drain: bool = False) -> None:
        """Nothing new goes to the node or device; with `drain` those who are there have to leave. Raises NotFound."""
        nodes = self.occupancy().nodes
        known = [node.name for node in nodes] + [device.uuid for node in nodes for device in node.devices]
        if name not in known:
            close = nearest(name, known)
            raise NotFound(f"there is no node or device {name!r}" + (f"; did you mean {close!r}?" if close else ""))
        spec = {"reason": reason, "drain": drain}
        event = "Drained" if drain else "Cordoned"
        self.commit(PutSpec(kind="Cordon", name=name, event=event, reason=reason, spec=spec))

    def uncordon(self, name: str) -> None:
        """The node or device takes work again. Raises NotFound when nobody had cordoned it."""
        self.get("Cordon", name)
        self.commit(Remove(kind="Cordon", name=name, event="Uncordoned", reason="asked for"))

    @property
    def settings(self) -> Settings:
        """The settings of the plane. Raises NoPlane."""
        settings = Settings.read(self.home)
        if settings is None:
            raise NoPlane(f"no plane was started on {self.home.path}; start one with: biplane up")
        return settings

    def environment(self) -> dict[str, str]:
        """The variables with which Ray's own tools reach the plane."""
        return {
            **self.home.environment,
            "RAY_ADDRESS": self.settings.ray_address,
            "RAY_API_SERVER_ADDRESS": self.settings.dashboard_url,
        }

    def health(self) -> Health:
        stored, held = self.store.list(), self.occupancy().held_milli / 1000
        return health_of(stored, self.store.heartbeats(), held, stale=STALE_SECONDS, now=self._clock())

    def status(self) -> Status:
        beats = tuple(beat for beat in self.store.heartbeats() if beat.actor in DOMAINS)
        now = self._clock()
        return Status(
            home=str(self.home.path),
            store=shown(self.home.store_url),
            urls=self.settings.urls,
            heartbeats=beats,
            silent=tuple(beat.actor for beat in beats if now - beat.at > STALE_SECONDS),
            objects=self.store.list(),
        )


def _outcome(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    if old is None:
        return "created"
    return "unchanged" if old == new else "changed"


def _plural(word: str) -> str:
    return word[:-1] + "ies" if word.endswith("cy") else word + "s"
