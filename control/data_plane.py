"""The data plane's door to the store and to the cache: tables, keys and addresses to read, figures and wishes to write.

Called from threads, about once a second, never on the path of a request that something can answer. A store that is
away fails the call and nothing else: gateways go on with what they read last.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from control import device_load, engine_report, traffic, vector_report
from control.accounts import Reply, Report
from control.engine_report import EngineReport
from control.kernel.beats import read_beats
from control.kernel.calls import ask, call
from control.kernel.clock import system_clock
from control.kernel.home import Home
from control.kernel.ids import (
    API_KEY_KIND,
    CACHE_ACTOR,
    EMBEDDER_ACTOR,
    LEDGER,
    TABLE_KIND,
    TABLE_NAME,
    VECTORS_TABLE,
    WAKE_PREFIX,
    control_name,
)
from control.kernel.store import Store
from control.vector_report import VectorReport

Stamp = tuple[int, int]
LEDGER_SECONDS = 5.0
KEEP_SECONDS = 5.0
"""How long handing an answer to the cache may take; nobody waits for it."""
GONE_SECONDS = 600.0
"""So long after its last sign of life nobody asks for a replica's figures any more."""


def read_gateway_table() -> bytes | None:
    """The gateway's table as JSON with its version, None before the first."""
    found = store().get(TABLE_KIND, TABLE_NAME)
    return None if found is None else json.dumps({"version": found.generation, **found.spec}).encode()


def read_vector_table() -> bytes | None:
    """The collections' table (`control.vectors.table`) as JSON, `{"version": …, "collections": {…}}`; None before the
    first.
    """
    found = store().get(TABLE_KIND, VECTORS_TABLE)
    return None if found is None else json.dumps({"version": found.generation, "collections": found.spec}).encode()


def read_api_keys(seen: Stamp | None) -> tuple[Stamp, Iterable[tuple[str, int, Mapping[str, Any]]]] | None:
    """A stamp, and of every API key its name, the revision of its last write and its spec.

    None where no key was written or deleted since the reading that gave the stamp `seen`.
    """
    stamp = store().stamp(API_KEY_KIND)  # before the keys: what is written in between is read again, and never missed
    if stamp == seen:
        return None
    return stamp, [(o.name, o.revision, o.spec) for o in store().list(API_KEY_KIND)]


def read_engines() -> dict[str, tuple[EngineReport, float]]:
    """By application, what its replica said last and when, on the clock of the replica's own node."""
    beats = store().heartbeats(engine_report.BEAT_PREFIX)
    return {app: (report, at) for app, at, report in read_beats(beats, engine_report.BEAT_PREFIX, engine_report.parse)}


def write_traffic(replica: str, body: Mapping[str, Any]) -> None:
    """A gateway replica's figures: `body` as `control.traffic.document` makes it."""
    store().beat(traffic.BEAT_PREFIX + replica, body, now=system_clock())


def write_engine(app: str, report: EngineReport) -> None:
    store().beat(engine_report.BEAT_PREFIX + app, engine_report.document(report), now=system_clock())


def write_vectors(actor: str, report: VectorReport) -> None:
    """The figures of a replica of a collection's shard, by the name of its actor."""
    store().beat(actor, vector_report.document(report), now=system_clock())


def ask_to_wake(deployment: str) -> None:
    """Somebody waits for a deployment that was scaled to zero."""
    store().beat(WAKE_PREFIX + deployment, {}, now=system_clock())


def report_to_ledger(report: Report) -> Reply:
    """Raises ValueError where there is no ledger, RayError where it does not answer or cannot write."""
    return cast(Reply, call(control_name(LEDGER), "report", report, timeout_s=LEDGER_SECONDS))


def find_answer(ask: Any, seconds: float) -> Any:
    """What the plane's cache has for `ask`. Raises ValueError where there is none, RayError where it is silent."""
    return call(CACHE_ACTOR, "find", ask, timeout_s=seconds)


def keep_answer(ask: Any, body: bytes, cost: int) -> None:
    """Returns when the plane's cache has it. Raises as `find_answer` does."""
    call(CACHE_ACTOR, "keep", ask, body, cost, timeout_s=KEEP_SECONDS)


def embed_texts(texts: Sequence[str], seconds: float) -> Any:
    """Their vectors (n, 384), by the plane's embedder. Raises ValueError where there is none, RayError where it is
    silent.
    """
    return ask(EMBEDDER_ACTOR, "embed", texts, timeout_s=seconds)


@functools.cache
def store() -> Store:
    """Opened once by each replica, which may have a name that was never there before: those long gone are cleared."""
    opened = Store(Home.find().store_url)
    for prefix in (
        traffic.BEAT_PREFIX,
        engine_report.BEAT_PREFIX,
        device_load.BEAT_PREFIX,
        WAKE_PREFIX,
        vector_report.BEAT_PREFIX,
    ):
        opened.forget_beats(prefix, before=system_clock() - GONE_SECONDS)
    return opened
