"""What answers for collections beside their shards: the vectors API, and the embedder of those that want it. Pure."""

from __future__ import annotations

from typing import Any

from control.kernel.ids import EMBEDDER_ACTOR, TABLE_KIND, VECTORS_APP, VECTORS_TABLE
from control.kernel.plan import Effect, EndActor, EndApp, EnsureActor, EnsureApp
from control.kernel.present import AppState
from control.specs.collection import MINILM
from control.vectors.state import Snapshot

BUILDER = "serve_apps.vectors.deployment:build"
EMBEDDER = "actors.embedder:Embedder"
EMBEDDER_THREADS = 2
"""A query waits for no more than its share of a thread while a batch of rows is embedded."""
REPLICAS = 2
"""One answers while the other is replaced."""
_ABOUT: dict[str, Any] = {"kind": TABLE_KIND, "name": VECTORS_TABLE}


def surface(snapshot: Snapshot) -> tuple[Effect, ...]:
    return (*_application(snapshot), *_embedder(snapshot))


def _application(snapshot: Snapshot) -> tuple[Effect, ...]:
    """It runs while there are collections: one that failed makes room for the next try."""
    if not (snapshot.collections or snapshot.unreadable):
        if snapshot.app in (AppState.ABSENT, AppState.ENDING):
            return ()
        return (EndApp(**_ABOUT, reason="there are no collections", app=VECTORS_APP),)
    match snapshot.app:
        case AppState.ABSENT:
            args = {"internal_key_file": snapshot.surroundings.internal_key_file, "replicas": REPLICAS}
            reason = "there are collections"
            return (EnsureApp(**_ABOUT, reason=reason, app=VECTORS_APP, builder=BUILDER, args=args),)
        case AppState.FAILED:
            return (EndApp(**_ABOUT, reason="it failed and is tried again", app=VECTORS_APP),)
        case AppState.STARTING | AppState.RUNNING | AppState.SICK | AppState.ENDING:
            return ()


def _embedder(snapshot: Snapshot) -> tuple[Effect, ...]:
    wanted = any(one.spec.embedding and one.spec.embedding.model == MINILM for one in snapshot.collections)
    told = {**_ABOUT, "actor": EMBEDDER_ACTOR}
    if wanted and not snapshot.embeds:
        reason = "a collection embeds its texts"
        return (EnsureActor(**told, reason=reason, entrypoint=EMBEDDER, threads=EMBEDDER_THREADS),)
    if snapshot.embeds and not wanted and not snapshot.unreadable:
        return (EndActor(**told, reason="no collection embeds its texts"),)
    return ()
