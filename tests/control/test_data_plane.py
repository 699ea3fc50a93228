"""What the data plane writes is in the plane's store, and what it reads is what was published."""

from __future__ import annotations

import json
import time

from control import vector_report
from control.data_plane import (
    ask_to_wake,
    read_api_keys,
    read_engines,
    read_gateway_table,
    read_vector_table,
    write_engine,
    write_traffic,
    write_vectors,
)
from control.engine_report import EngineReport
from control.kernel.ids import API_KEY_KIND, TABLE_KIND, TABLE_NAME, VECTORS_TABLE, WAKE_PREFIX
from control.kernel.plan import PutSpec, Record, Remove
from control.kernel.store import Store
from control.traffic import BEAT_PREFIX, Traffic, document, parse
from control.vector_report import VectorReport


def test_every_replica_has_its_last_reading(store: Store) -> None:
    began = time.time()
    store.beat(f"{BEAT_PREFIX}gone", document({}), now=began - 700.0)
    for replica, requests in (("a", 1), ("b", 5), ("a", 2)):
        write_traffic(replica, document({"llm:x": Traffic(requests, 1, {3: requests})}))
    beats = store.heartbeats(BEAT_PREFIX)
    assert {beat.actor.removeprefix(BEAT_PREFIX): parse(beat.body) for beat in beats} == {
        "a": {"llm:x": Traffic(2, 1, {3: 2})},
        "b": {"llm:x": Traffic(5, 1, {3: 5})},
    }
    assert all(began <= beat.at <= time.time() for beat in beats)


def test_the_table_comes_with_its_version(store: Store) -> None:
    assert read_gateway_table() is None
    table: dict[str, dict[str, str]] = {"models": {}}
    store.commit(
        (PutSpec(kind=TABLE_KIND, name=TABLE_NAME, event="Published", reason="", spec=table),), who="gateway", now=1.0
    )
    raw = read_gateway_table()
    assert raw is not None
    assert json.loads(raw) == {"version": 1, **table}


def test_the_table_of_collections_is_another_one(store: Store) -> None:
    assert read_vector_table() is None
    table = {"docs": {"life": "0a0a0a0a", "shards": []}}
    for name, spec in ((VECTORS_TABLE, table), (TABLE_NAME, {"models": {}})):
        change = PutSpec(kind=TABLE_KIND, name=name, event="Published", reason="", spec=spec)
        store.commit((change,), who="vectors", now=1.0)
    raw = read_vector_table()
    assert raw is not None
    assert json.loads(raw) == {"version": 1, "collections": table}


def test_a_replica_of_a_collection_has_its_last_figures(store: Store) -> None:
    actor = "vectors:docs:0a0a0a0a:0:1"
    for rows in (3, 4):
        write_vectors(actor, VectorReport(rows=rows))
    (beat,) = store.heartbeats(vector_report.BEAT_PREFIX)
    assert (beat.actor, vector_report.parse(beat.body)) == (actor, VectorReport(rows=4))


def test_keys_are_read_again_when_one_of_them_changed_and_only_then(store: Store) -> None:
    def write(record: Record) -> None:
        store.commit((record,), who="test", now=1.0)

    def put(name: str, **spec: str) -> None:
        write(PutSpec(kind=API_KEY_KIND, name=name, event="Created", reason="", spec=spec))

    seen = None

    def read() -> object:
        nonlocal seen
        reading = read_api_keys(seen)
        seen, keys = reading or (seen, None)
        return keys

    assert read() == []
    put("alice", sha256="a")
    put("bob", sha256="b")
    assert read() == [("alice", 1, {"sha256": "a"}), ("bob", 2, {"sha256": "b"})]
    assert read() is None
    put("alice", sha256="c")
    assert read() == [("alice", 3, {"sha256": "c"}), ("bob", 2, {"sha256": "b"})]
    write(Remove(kind=API_KEY_KIND, name="bob", event="Deleted", reason=""))
    assert read() == [("alice", 3, {"sha256": "c"})]
    write(PutSpec(kind="Deployment", name="chat", event="Created", reason="", spec={}))
    assert read() is None


def test_engines_are_found_by_their_application_and_no_nonsense_is(store: Store) -> None:
    report = EngineReport("http://127.0.0.1:9", running=1)
    write_engine("llm:x", report)
    store.beat("engine:odd", {"nothing": 1}, now=time.time())
    store.beat("router", {}, now=time.time())
    assert {app: told for app, (told, _) in read_engines().items()} == {"llm:x": report}


def test_a_wish_to_wake_is_a_heartbeat_of_its_own(store: Store) -> None:
    ask_to_wake("chat")
    assert [beat.actor for beat in store.heartbeats(WAKE_PREFIX)] == [f"{WAKE_PREFIX}chat"]
