"""What a gateway replica writes is in the plane's store, one reading a replica."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from control import traffic_report
from control.kernel.home import Home
from control.kernel.store import Store
from control.traffic import BEAT_PREFIX, Traffic, document, parse
from control.traffic_report import write_gateway_traffic


def test_every_replica_has_its_last_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIPLANE_HOME", str(tmp_path))
    traffic_report._store.cache_clear()
    began = time.time()
    Store(Home.find().store_url).beat(f"{BEAT_PREFIX}gone", document({}), now=began - 700.0)
    for replica, requests in (("a", 1), ("b", 5), ("a", 2)):
        write_gateway_traffic(replica, document({"llm:x": Traffic(requests, 1, {3: requests})}))
    beats = Store(Home.find().store_url).heartbeats()
    assert {beat.actor.removeprefix(BEAT_PREFIX): parse(beat.body) for beat in beats} == {
        "a": {"llm:x": Traffic(2, 1, {3: 2})},
        "b": {"llm:x": Traffic(5, 1, {3: 5})},
    }
    assert all(began <= beat.at <= time.time() for beat in beats)
