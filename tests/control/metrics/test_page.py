"""The plane as Prometheus sees it: every figure is one that somebody gave, and none is made up."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from control import device_load, engine_report, route_traffic, traffic, vector_report
from control.engine_report import EngineReport
from control.kernel.ids import DOMAINS, AppName
from control.kernel.store import Heartbeat, Object, Store
from control.metrics import page as metrics
from control.metrics.catalogue import SECTIONS, SERIES
from control.metrics.page import text
from control.metrics.reading import LIVE_SECONDS, reading_of
from control.metrics.subjects import MOST_APPS
from control.route_traffic import Counts, Pair, Share, Standing
from control.specs.deployment import Deployment
from control.specs.inventory import DeviceLoad
from control.traffic import Traffic, bucket
from control.vector_report import VectorReport
from tests.control.router.world import deployment, plane_with

NOW = 1000.0
APP = "llm:chat:3:ab12cd34:0:ef56ab78"
LABELS = {"model": "chat", "version": "3", "replica": "0", "app": APP}
WORKLOAD = "app.chat.3.ab12cd34.0"

PAIR = ("chat", "openai/gpt-4o")
ROUTES = route_traffic.document(
    {Share(*PAIR, "lab"): Counts(ok=1, exact=1)},
    {Pair(*PAIR): Traffic(1, 0, {3: 1}, {}, {5: 1})},
    (Standing(*PAIR, "healthy", ""),),
    {"invalid_json": 1},
)

REPLICA = "vectors:docs:0a0a0a0a:0:2"
SHARD = {"collection": "docs", "number": 0, "phase": "Serving", "epoch": 3, "members": [0, 1, 2]}

Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def stored(kind: str, name: str, spec: dict[str, Any], status: dict[str, Any] | None = None) -> Object:
    return Object(kind, name, "uid", 1, 1, spec, status or {}, created_at=NOW - 90.0, updated_at=NOW)


def gateway(apps: dict[str, Traffic], name: str = "g1", at: float = NOW, **more: int) -> Heartbeat:
    return Heartbeat(traffic.BEAT_PREFIX + name, at, {**traffic.document(apps), **more})


def engine(report: EngineReport, app: str = APP, at: float = NOW) -> Heartbeat:
    return Heartbeat(engine_report.BEAT_PREFIX + app, at, engine_report.document(report))


def replica(report: VectorReport, actor: str = REPLICA, at: float = NOW) -> Heartbeat:
    return Heartbeat(actor, at, vector_report.document(report))


def loads(*found: DeviceLoad, at: float = NOW) -> Heartbeat:
    return Heartbeat(device_load.BEAT_PREFIX + "a" * 8, at, device_load.document(found))


def node(*devices: dict[str, Any], simulated: bool = False) -> Object:
    return stored("Node", "n0", {"gpu_model": "H100", "simulated": simulated, "devices": list(devices)})


def lease(workload: str, *devices: str, milli: int = 1000, **spec: Any) -> Object:
    status = {"phase": "Leased", "lease": {"pieces": [{"devices": list(devices), "milli": milli}]}}
    return stored("Workload", workload, {"spec": spec}, status)


def told(*of: Object | Heartbeat) -> Samples:
    """What Prometheus reads: by the name of the series its samples."""
    objects = [one for one in of if isinstance(one, Object)]
    beats = [one for one in of if isinstance(one, Heartbeat)]
    found: Samples = {}
    for family in text_string_to_metric_families(text(reading_of(objects, beats, NOW)).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name][frozenset(labels.items())]


def test_everything_that_is_told_is_in_the_catalogue_with_its_type_and_labels() -> None:
    everything = text(
        reading_of(
            [
                node({"uuid": "GPU-1"}),
                lease(WORKLOAD, "GPU-1"),
                stored(
                    "Deployment",
                    "chat",
                    {"spec": {"sla": {"itl_ms": 100.0, "utilization": 0.8}}},
                    {"arms": [{"replicas": [{"app": APP}]}]},
                ),
                stored("Shard", "docs.0a0a0a0a.0", SHARD),
            ],
            [
                replica(VectorReport(recall=0.99, copied=0.4, search_ms={3: 1})),
                gateway({APP: Traffic(1, 0, {3: 1}, {4: 1}, {5: 1})}),
                Heartbeat(traffic.BEAT_PREFIX + "g2", NOW, {**traffic.document({}), **ROUTES}),
                engine(EngineReport("u", started_s={"load": 2.0})),
                loads(DeviceLoad("GPU-1", 0.5, 7, 80)),
                *(Heartbeat(name, NOW, {"observe": 0.1}) for name in DOMAINS),
            ],
            NOW,
        )
    ).decode()
    families = {family.name: family for family in text_string_to_metric_families(everything)}
    for section in SECTIONS:
        for metric in section.metrics:
            family = families.pop(metric.name.removesuffix("_total"))
            assert (family.type, family.documentation) == (metric.kind.value, metric.help)
            assert family.samples, metric.name
            for sample in family.samples:
                assert sample.name in SERIES
                assert set(sample.labels) - {"le"} == set(section.labels)
    assert not families


def test_traffic_is_told_by_application_and_gateway_replica_in_seconds() -> None:
    one, other = Traffic(10, 1, {bucket(50.0): 4}, {}, {}), Traffic(5, 2, {bucket(200.0): 1}, {}, {})
    found = told(gateway({APP: one}), gateway({APP: other}, "g2"))
    assert value(found, "biplane_requests_total", **LABELS, gateway="g1") == 10
    assert value(found, "biplane_request_errors_total", **LABELS, gateway="g2") == 2
    ttft = {
        dict(labels)["le"]: count
        for labels, count in found["biplane_time_to_first_token_seconds_bucket"].items()
        if ("gateway", "g1") in labels
    }
    assert {count for le, count in ttft.items() if float(le) < 0.05} == {0.0}
    assert {count for le, count in ttft.items() if float(le) > 0.05} == {4.0}
    assert value(found, "biplane_time_to_first_token_seconds_count", **LABELS, gateway="g1") == 4
    sums = value(found, "biplane_time_to_first_token_seconds_sum", **LABELS, gateway="g1")
    assert sums == pytest.approx(0.2, rel=0.05)


def test_what_lies_above_an_objective_is_counted_in_narrow_buckets_and_only_where_there_is_one() -> None:
    itl = Traffic(1, 0, {90: 9}, {bucket(90.0): 97, bucket(112.0): 3}, {})
    chat = stored("Deployment", "chat", {"spec": {"sla": {"itl_ms": 100.0, "ttft_ms": None}}})
    found = told(chat, gateway({APP: itl}))
    assert list(found["biplane_objective_exceeded_total"].values()) == [3.0]
    assert value(found, "biplane_objective_exceeded_total", **LABELS, gateway="g1", objective="itl") == 3
    assert value(found, "biplane_objective_seconds", model="chat", objective="itl") == 0.1


def test_a_deployment_that_says_nothing_has_the_article_s_objective() -> None:
    spec = Deployment.model_validate({"metadata": {"name": "chat"}, "spec": {"model": "chat"}}).model_dump(mode="json")
    found = told(stored("Deployment", "chat", spec))
    assert value(found, "biplane_objective_seconds", model="chat", objective="itl") == 0.1
    assert value(found, "biplane_objective_utilisation_ratio", model="chat") == 0.8


def test_an_engine_tells_its_tokens_its_queue_its_cache_and_its_start() -> None:
    report = EngineReport(
        "http://127.0.0.1:9",
        accepts=False,
        running=3,
        waiting=2,
        kv_usage=0.25,
        generated_tokens=640,
        prefix_queries=100,
        prefix_hits=40,
        decode_ms={bucket(1500.0): 2},
        started_s={"load": 3.5, "compile": 9.0},
    )
    found = told(engine(report))
    expected = {
        "accepts": 0,
        "running_requests": 3,
        "waiting_requests": 2,
        "kv_cache_usage_ratio": 0.25,
        "generated_tokens_total": 640,
        "prefix_cache_queries_total": 100,
        "prefix_cache_hits_total": 40,
        "decode_seconds_count": 2,
    }
    assert {name: value(found, f"biplane_engine_{name}", **LABELS) for name in expected} == expected
    assert value(found, "biplane_engine_start_seconds", **LABELS, part="compile") == 9.0
    assert "biplane_engine_device_utilisation_ratio" not in found


def test_a_replica_that_takes_traffic_is_told_with_its_silence_however_long_and_one_that_was_ended_is_not() -> None:
    mute, ended = APP.replace(":0:", ":1:"), APP.replace(":0:", ":2:")
    arms = [{"replicas": [{"app": APP}, {"app": mute}]}]
    chat = stored("Deployment", "chat", {}, {"arms": arms})
    found = told(chat, engine(EngineReport("u"), at=NOW - 500.0), engine(EngineReport("u"), ended, at=NOW - 500.0))
    silent = {dict(labels)["app"]: seconds for labels, seconds in found["biplane_engine_silent_seconds"].items()}
    assert silent == {APP: 500.0, mute: math.inf}
    assert "biplane_engine_running_requests" not in found, "what it said is out of date"


def test_who_has_been_silent_for_long_has_no_figures_any_more() -> None:
    long_ago = NOW - LIVE_SECONDS - 1.0
    found = told(
        engine(EngineReport("u"), at=long_ago),
        gateway({APP: Traffic(9)}, at=long_ago),
        loads(DeviceLoad("GPU-1", 0.5, 7, 80), at=long_ago),
        node({"uuid": "GPU-1"}),
    )
    assert not {name for name in found if name.startswith(("biplane_engine", "biplane_request", "biplane_gateway"))}
    assert "biplane_device_utilisation_ratio" not in found
    assert value(found, "biplane_device_leases", node="n0", device="GPU-1", gpu="H100") == 0


def test_what_cannot_be_understood_hides_nothing_else() -> None:
    found = told(
        Heartbeat("gateway:odd", NOW, {"apps": 3}),
        Heartbeat("engine:odd", NOW, {}),
        Heartbeat("devices:odd", NOW, {"loads": [{}]}),
        gateway({APP: Traffic(9)}),
    )
    assert list(found["biplane_requests_total"].values()) == [9.0]
    assert "biplane_engine_requests_total" not in found


def test_no_number_of_replicas_makes_more_series_than_stated_and_no_request_is_lost() -> None:
    apps = {f"llm:chat:3:ab12cd34:{replica}:ef56ab78": Traffic(replica, 0, {9: 1}) for replica in range(200)}
    report = EngineReport("u", requests=1, generated_tokens=5, kv_tokens=10, kv_usage=0.5, queue_ms={20: 2})
    found = told(gateway(apps), gateway(apps, "g2"), *(engine(report, app) for app in apps))
    for name in ("biplane_requests_total", "biplane_engine_requests_total", "biplane_engine_queue_seconds_count"):
        assert len({dict(labels)["app"] for labels in found[name]}) == MOST_APPS + 1
    assert sum(found["biplane_requests_total"].values()) == 2 * sum(range(200))
    assert sum(found["biplane_time_to_first_token_seconds_count"].values()) == 400
    assert sum(found["biplane_engine_generated_tokens_total"].values()) == 1000
    (rest,) = [count for key, count in found["biplane_engine_kv_cache_usage_ratio"].items() if ("app", "other") in key]
    assert rest == 0.5
    told_apart = {dict(key)["replica"] for key in found["biplane_requests_total"] if ("app", "other") not in key}
    assert told_apart == {str(replica) for replica in range(200 - MOST_APPS, 200)}, "the busiest"


def test_those_with_an_engine_are_told_apart_before_those_that_are_gone() -> None:
    gone = {f"llm:old:1:ab12cd34:{replica}:ef56ab78": Traffic(1000) for replica in range(MOST_APPS)}
    found = told(gateway({**gone, APP: Traffic(1)}), engine(EngineReport("u")))
    assert value(found, "biplane_requests_total", **LABELS, gateway="g1") == 1


def test_a_label_s_value_may_have_any_character() -> None:
    odd = 'a "b"\\c\nd'
    found = told(gateway({odd: Traffic(2)}))
    (labels,) = found["biplane_requests_total"]
    assert dict(labels)["app"] == odd


def test_a_device_is_as_busy_as_nvml_says_and_its_replica_with_it() -> None:
    found = told(
        node({"uuid": "GPU-1"}, {"uuid": "GPU-2", "trouble": "XID 79"}, {"uuid": "GPU-3"}),
        lease(WORKLOAD, "GPU-1", "GPU-3"),
        engine(EngineReport("u")),
        loads(DeviceLoad("GPU-1", 0.9, 7, 80), DeviceLoad("GPU-3", 0.5, None, None)),
    )
    device = {"node": "n0", "device": "GPU-1", "gpu": "H100"}
    assert value(found, "biplane_device_utilisation_ratio", **device) == 0.9
    assert value(found, "biplane_device_memory_used_bytes", **device) == 7
    assert len(found["biplane_device_memory_bytes"]) == 1
    assert [dict(key)["device"] for key, bad in found["biplane_device_trouble"].items() if bad] == ["GPU-2"]
    assert value(found, "biplane_engine_device_utilisation_ratio", **LABELS) == pytest.approx(0.7)


def test_nothing_is_measured_of_a_simulated_device_but_who_holds_it() -> None:
    device = {"uuid": "SIM-0", "memory": 80, "slices": [{"uuid": "SIM-MIG-0"}, {"uuid": "SIM-MIG-1"}]}
    found = told(
        node(device, simulated=True),
        lease("a", "SIM-MIG-0", milli=125),
        lease("b", "SIM-MIG-1", milli=500),
        engine(EngineReport("u")),
    )
    labels = {"node": "n0", "device": "SIM-0", "gpu": "H100"}
    assert value(found, "biplane_device_leases", **labels) == 2
    assert value(found, "biplane_device_held_ratio", **labels) == 0.625
    assert not {name for name in found if "utilisation" in name or "memory" in name}


def test_control_actors_are_told_with_their_silence_and_their_last_pass() -> None:
    beat = Heartbeat("router", NOW - 20.0, {"observe": 0.5, "decide": 0.25, "records": 7, "pid": 1})
    found = told(beat)
    assert value(found, "biplane_control_silent_seconds", actor="router") == 20.0
    assert value(found, "biplane_control_silent_seconds", actor="scheduler") == math.inf
    assert {dict(key)["phase"]: s for key, s in found["biplane_control_pass_seconds"].items()} == {
        "observe": 0.5,
        "decide": 0.25,
    }


def test_what_waits_is_told_by_queue_with_its_oldest_wait() -> None:
    def pending(name: str, since: float | None, **spec: str) -> Object:
        return stored("Workload", name, {"spec": spec}, {"phase": "Pending", "waiting_since": since})

    found = told(
        pending("a", NOW - 10.0, queue="research"),
        pending("b", NOW - 700.0, queue="research"),
        pending("c", None),
        lease("d", "GPU-1", queue="ads"),
    )
    counts = {dict(key)["queue"]: count for key, count in found["biplane_workloads_pending"].items()}
    assert counts == {"research": 2.0, "none": 1.0, "ads": 0.0}
    waits = {dict(key)["queue"]: wait for key, wait in found["biplane_workloads_oldest_wait_seconds"].items()}
    assert waits == {"research": 700.0, "none": 90.0, "ads": 0.0}


def test_deployments_are_told_by_phase_and_with_their_replicas() -> None:
    found = told(
        stored("Deployment", "chat", {}, {"phase": "Ready", "replicas": {"wanted": 3, "serving": 2}}),
        stored("Deployment", "search", {}, {"phase": "Ready", "replicas": {"wanted": 0, "serving": 0}}),
        stored("Deployment", "new", {}),
    )
    assert {dict(key)["phase"]: count for key, count in found["biplane_deployments"].items()} == {
        "Ready": 2.0,
        "Waiting": 1.0,
    }
    assert value(found, "biplane_replicas_wanted", model="chat") == 3
    assert value(found, "biplane_replicas_serving", model="chat") == 2
    assert value(found, "biplane_replicas_wanted", model="new") == 0


def test_gateways_tell_what_they_left_out_and_what_they_cut() -> None:
    found = told(gateway({}, shadows_dropped=4, streams_cut=2), gateway({}, "older"))
    assert value(found, "biplane_gateway_shadows_dropped_total", gateway="g1") == 4
    assert value(found, "biplane_gateway_streams_cut_total", gateway="g1") == 2
    assert value(found, "biplane_gateway_streams_cut_total", gateway="older") == 0


def test_what_the_control_actors_wrote_down_is_what_is_told() -> None:
    plane = plane_with(1, deployment(replicas=2, devices=2))
    plane.settle()
    plane.apply("apiVersion: biplane/v1\nkind: Workload\nmetadata: {name: hog}\nspec: {type: batch, devices: 8}\n")
    plane.settle()
    replicas = plane.models()
    found = told(*plane.store.list(), *(engine(EngineReport("u"), app) for app in replicas))
    assert value(found, "biplane_replicas_wanted", model="chat") == 2
    assert value(found, "biplane_replicas_serving", model="chat") == 2
    assert value(found, "biplane_deployments", phase="Ready") == 1
    assert value(found, "biplane_workloads_pending", queue="none") == 1
    assert sum(found["biplane_device_leases"].values()) == sum(found["biplane_device_held_ratio"].values()) == 4
    assert {dict(labels)["app"] for labels in found["biplane_engine_accepts"]} == set(replicas)
    reading = reading_of(plane.store.list(), (), NOW)
    (wanted,) = reading.deployments
    assert wanted.apps == set(replicas)
    names = [AppName.parse(app) for app in replicas]
    assert [len(reading.holders[name.workload]) for name in names if name] == [2, 2]


def test_a_page_is_made_of_what_the_store_has_now(store: Store) -> None:
    assert b'biplane_control_silent_seconds{actor="router"} +Inf\n' in metrics.render()
    store.beat("router", {}, now=10.0)
    page = metrics.render().decode()
    (silent,) = re.findall(r'biplane_control_silent_seconds{actor="router"} (\S+)', page)
    assert 1e9 < float(silent) < math.inf


def test_replicas_of_collections_are_told_apart_and_shards_by_what_control_wrote() -> None:
    labels = {"collection": "docs", "shard": "0"}
    report = VectorReport(rows=7, memory_bytes=1 << 20, leads=True, writes=9, search_ms={bucket(50.0): 4})
    other = VectorReport(rows=6, behind=1)
    found = told(stored("Shard", "docs.0a0a0a0a.0", SHARD), replica(report), replica(other, REPLICA[:-1] + "1"))
    assert value(found, "biplane_vectors_rows", **labels, replica="2") == 7
    assert value(found, "biplane_vectors_behind_entries", **labels, replica="1") == 1
    assert value(found, "biplane_vectors_writes_total", **labels, replica="2") == 9
    assert value(found, "biplane_vectors_search_seconds_count", **labels, replica="2") == 4
    assert value(found, "biplane_vectors_epoch", **labels) == 3
    assert value(found, "biplane_vectors_serving", **labels) == 1
    assert "biplane_vectors_recall_ratio" not in found, "nobody has sampled one"


def test_a_replica_that_is_silent_has_no_figures() -> None:
    assert "biplane_vectors_rows" not in told(replica(VectorReport(rows=7), at=NOW - LIVE_SECONDS - 1))
