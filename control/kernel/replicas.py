"""The actors of collections' replicas: made, asked how they are, told who leads, ended with their files.

Part of the one door to Ray (`drive`). Nothing here waits for an actor: answers are picked up by a later look. What it
remembers is only a shorter way to what the actors say: another life of this process asks for them again by name.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray._private.state import state
from ray.core.generated.gcs_pb2 import ActorTableData
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from control.kernel.ids import NAMESPACE
from control.kernel.imports import load
from control.kernel.plan import AskPromise, AssignReplica, EndReplica, EnsureReplica, RetuneReplica
from control.kernel.present import ReplicaView
from control.specs.replica import Assignment, Promise, Standing

REPLICA = "actors.vectors.replica:Replica"
ASK_SECONDS = 1.0
"""How often a replica is asked how it is."""
AGAIN_SECONDS = 5.0
"""How long after its process could not begin it is tried again."""
CALLS = 1000
"""Calls of an asynchronous actor that go on at once: searches wait in it, not before it."""

THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""FAISS's threads spin while they wait for each other unless they are told not to: on a busy node that takes the cores
from whoever they wait for, and searches take several times as long.
"""


class ReplicaFailed(Exception):
    """A replica's process could not begin, or its files not be removed; the message says why."""


@dataclass
class _Replica:
    """`heard` is when it last answered, or when it was first asked for; seconds of the monotonic clock.

    `calls` are those that it has not answered, by what was asked.
    """

    handle: Any
    node_id: str
    heard: float
    asked: float = 0.0
    standing: Standing | None = None
    promise: Promise | None = None
    told: Assignment | None = None
    trouble: str = ""
    calls: dict[tuple[str, Hashable], Any] = field(default_factory=dict)

    @property
    def hurries(self) -> bool:
        """Clients wait for what it says next."""
        fill = self.told.move.fill if self.told else None
        return fill is not None and fill.attempt > 0


class Replicas:
    """The actors, by their names."""

    def __init__(self) -> None:
        self._replicas: dict[str, _Replica] = {}
        self._failures: dict[str, tuple[float, str]] = {}
        self._endings: dict[str, Any] = {}
        self._gone: set[str] = set()

    def ensure(self, effect: EnsureReplica, options: Mapping[str, Any]) -> None:
        """Raises ReplicaFailed while one that could not begin is not tried again yet."""
        name = effect.request.actor
        if name in self._replicas:
            return
        self._check_failure(name)
        handle = _find(name)
        if handle is not None and _pinned_to(handle) != effect.node_id:
            ray.kill(handle, no_restart=True)  # it waits for a node that does not come back under this id
            return
        actor = ray.remote(load(REPLICA)).options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=CALLS,
            runtime_env={"env_vars": THREADS},
            **options,
        )
        self._replicas[name] = _Replica(actor.remote(effect.request), effect.node_id, time.monotonic())

    def end(self, effect: EndReplica) -> None:
        """The process first: it writes no more when its files go. Raises ReplicaFailed while they cannot be removed."""
        self._replicas.pop(effect.actor, None)
        self._check_failure(effect.actor)
        handle = _find(effect.actor)
        if handle is not None:
            ray.kill(handle, no_restart=True)
        elif effect.actor not in self._endings:
            there = {"num_cpus": 0, "max_retries": 0, "label_selector": {"ray.io/node-id": effect.node_id}}
            self._endings[effect.actor] = ray.remote(remove_files).options(**there).remote(effect.directory)

    def promise(self, effect: AskPromise) -> None:
        self._call(effect.actor, ("promise", 0), "promise", effect.epoch)

    def assign(self, effect: AssignReplica) -> None:
        method = "lead" if effect.assignment.leader == effect.actor else "follow"
        self._call(effect.actor, ("assign", effect.assignment), method, effect.assignment)

    def retune(self, effect: RetuneReplica) -> None:
        self._call(effect.actor, ("retune", effect.generation), "retune", effect.generation, effect.spec)

    def look(self, live: Collection[str]) -> Mapping[str, ReplicaView]:
        """How each is that was asked for, on the nodes that are `live`; and of those that were to end who is gone."""
        now = time.monotonic()
        for name in [name for name, one in self._replicas.items() if one.node_id not in live]:
            # Pinned to a node that never comes back under this id, it would wait for it for ever.
            ray.kill(self._replicas.pop(name).handle, no_restart=True)
        for name, one in list(self._replicas.items()):
            self._hear(name, one, now)
            due = one.hurries or now - one.asked >= ASK_SECONDS
            if name in self._replicas and due and ("standing", 0) not in one.calls:
                one.calls["standing", 0], one.asked = one.handle.standing.remote(), now
        for name, ending in list(self._endings.items()):
            if _is_done(ending):
                del self._endings[name]
                if why := _error_of(ending):
                    self._failures[name] = (now, why)
                else:
                    self._gone.add(name)
        views = {
            name: ReplicaView(one.standing, now - one.heard, one.promise, one.told, one.trouble)
            for name, one in self._replicas.items()
        }
        return views | {name: ReplicaView(gone=True) for name in self._gone}

    def _check_failure(self, name: str) -> None:
        failed, why = self._failures.get(name, (-AGAIN_SECONDS, ""))
        if time.monotonic() - failed < AGAIN_SECONDS:
            raise ReplicaFailed(f"{name}: {why}")

    def _call(self, name: str, asked: tuple[str, Hashable], method: str, *arguments: Any) -> None:
        """One call of a kind at a time: what was overtaken meanwhile is asked anew when it is answered."""
        one = self._replicas.get(name)
        if one is not None and not any(kind == asked[0] for kind, _ in one.calls):
            one.calls[asked] = getattr(one.handle, method).remote(*arguments)

    def _hear(self, name: str, one: _Replica, now: float) -> None:
        for asked in [asked for asked, call in one.calls.items() if _is_done(call)]:
            try:
                answer = ray.get(one.calls.pop(asked))
            except ActorDiedError as error:
                self._failures[name] = (now, _words(error))
                self._replicas.pop(name, None)
                return
            except RayTaskError as error:
                one.trouble, one.heard = _words(error), now
            except RayError:
                # Its process is being started again: what its disk has is to be heard before it is told anything.
                one.told, one.standing = None, None
            else:
                self._take(one, asked, answer, now)

    def _take(self, one: _Replica, asked: tuple[str, Hashable], answer: Any, now: float) -> None:
        one.heard = now
        match asked:
            case ("standing", _):
                if one.standing is not None and one.standing.pid != answer.pid:
                    one.told = None
                one.standing = answer
            case ("promise", _):
                one.promise, one.trouble = answer, ""
            case ("assign", Assignment() as assignment):
                one.told, one.trouble = assignment, ""
            case _:
                one.trouble = ""


def remove_files(directory: str) -> None:
    """Nothing is there when it is done, however often it was begun; nor what was only there for it."""
    path = Path(directory)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
    for parent in (path.parent, path.parent.parent):  # the shard's, the collection's
        with contextlib.suppress(OSError):  # others are there
            parent.rmdir()


def _find(name: str) -> Any | None:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _pinned_to(handle: Any) -> str:
    """The node on which an actor is, or waits to be."""
    raw = state._connect_and_get_accessor().get_actor_info(handle._actor_id)
    return ActorTableData.FromString(raw).label_selector.get("ray.io/node-id", "") if raw else ""


def _is_done(reference: Any) -> bool:
    done, _ = ray.wait([reference], timeout=0)
    return bool(done)


def _error_of(reference: Any) -> str:
    try:
        ray.get(reference)
    except RayError as error:
        return _words(error)
    return ""


def _words(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".strip().splitlines()[-1]
