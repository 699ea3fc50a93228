"""Every metric of the plane: what it is called, what it means, and where its value is. Pure.

Times are in seconds, sizes in bytes, parts of a whole from 0 to 1. The names never change their meaning: dashboards
and alerts outlive versions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from control.engine_report import EngineReport
from control.metrics import subjects
from control.metrics.metric import Section, counter, gauge, times
from control.metrics.reading import Actor, Backlog, Deployment, Device, Gateway
from control.metrics.route_catalogue import ROUTE_SECTIONS
from control.metrics.subjects import APP, Replica
from control.metrics.vector_catalogue import VECTOR_SECTIONS
from control.specs.inventory import DeviceLoad
from control.traffic import Histogram, Traffic


def _of_load(value: Callable[[DeviceLoad], float | None]) -> Callable[[Device], float | None]:
    """Absent where nothing is measured, as of a simulated device."""
    return lambda device: None if device.load is None else value(device.load)


TRAFFIC: Section[Traffic] = Section(
    "what each gateway replica counts",
    (*APP, "gateway"),
    subjects.traffic,
    (
        counter("biplane_requests_total", "Requests that ended.", lambda t: t.requests),
        counter(
            "biplane_request_errors_total",
            "Requests that failed, broke off or came too late; never a client's own mistake.",
            lambda t: t.errors,
        ),
        times(
            "biplane_time_to_first_token_seconds",
            "From sending a request to the replica to the first chunk of its stream.",
            lambda t: t.ttft_ms,
            7,
            119,
        ),
        times("biplane_inter_token_latency_seconds", "Between the chunks of a stream.", lambda t: t.itl_ms, -7, 91),
        times(
            "biplane_request_latency_seconds",
            "To the end of an answer that came whole.",
            lambda t: t.latency_ms,
            14,
            126,
        ),
    ),
)
EXCEEDED: Section[int] = Section(
    "what each gateway replica counts, and `sla` of the Deployment",
    (*APP, "gateway", "objective"),
    subjects.exceeded,
    (
        counter(
            "biplane_objective_exceeded_total",
            "Times above the objective (ttft, itl or latency) of the deployment's SLA.",
            float,
        ),
    ),
)
GATEWAYS: Section[Gateway] = Section(
    "what each gateway replica counts",
    ("gateway",),
    lambda reading: (((name,), gateway) for name, gateway in reading.gateways.items()),
    (
        counter(
            "biplane_gateway_shadows_dropped_total",
            "Mirrored copies that were left out because too many were in flight.",
            lambda g: g.shadows_dropped,
        ),
        counter(
            "biplane_gateway_streams_cut_total",
            "Streams that were ended with an error because their replica was gone.",
            lambda g: g.streams_cut,
        ),
        counter(
            "biplane_gateway_access_log_dropped_total",
            "Lines of the access log that were left out because the disk did not keep up.",
            lambda g: g.log_dropped,
        ),
    ),
)


def _engine(value: Callable[[EngineReport], float]) -> Callable[[Replica], float]:
    return lambda replica: value(replica.report)


def _engine_times(value: Callable[[EngineReport], Histogram]) -> Callable[[Replica], Histogram]:
    return lambda replica: value(replica.report)


ENGINES: Section[Replica] = Section(
    "what each replica's engine (vLLM) says of itself",
    APP,
    subjects.engines,
    (
        counter("biplane_engine_requests_total", "Requests that finished.", _engine(lambda e: e.requests)),
        counter("biplane_engine_prompt_tokens_total", "Tokens of prompts.", _engine(lambda e: e.prompt_tokens)),
        counter(
            "biplane_engine_generated_tokens_total",
            "Tokens that were generated: their rate is the tokens per second.",
            _engine(lambda e: e.generated_tokens),
        ),
        gauge(
            "biplane_engine_running_requests",
            "Requests that are computed now: the size of the batch.",
            _engine(lambda e: e.running),
        ),
        gauge("biplane_engine_waiting_requests", "Requests in the engine's queue now.", _engine(lambda e: e.waiting)),
        gauge(
            "biplane_engine_most_running_requests",
            "How many requests run at once at most.",
            _engine(lambda e: e.most_running),
        ),
        gauge(
            "biplane_engine_kv_cache_usage_ratio",
            "The part of the KV cache that is in use.",
            _engine(lambda e: e.kv_usage),
        ),
        gauge("biplane_engine_kv_cache_tokens", "How many tokens the KV cache holds.", _engine(lambda e: e.kv_tokens)),
        counter(
            "biplane_engine_prefix_cache_queries_total",
            "Tokens of prompts that were looked up in the prefix cache.",
            _engine(lambda e: e.prefix_queries),
        ),
        counter(
            "biplane_engine_prefix_cache_hits_total",
            "Tokens of prompts that were found in the prefix cache.",
            _engine(lambda e: e.prefix_hits),
        ),
        counter(
            "biplane_engine_preemptions_total",
            "Requests that had to give up their part of the KV cache.",
            _engine(lambda e: e.preemptions),
        ),
        times(
            "biplane_engine_tokenize_seconds",
            "Time of a request in the tokenizer.",
            _engine_times(lambda e: e.tokenize_ms),
            -14,
            63,
        ),
        times(
            "biplane_engine_queue_seconds",
            "Time of a request in the engine's queue.",
            _engine_times(lambda e: e.queue_ms),
            0,
            119,
        ),
        times(
            "biplane_engine_prefill_seconds", "Time to compute a prompt.", _engine_times(lambda e: e.prefill_ms), 0, 112
        ),
        times(
            "biplane_engine_decode_seconds",
            "Time to generate an answer's tokens.",
            _engine_times(lambda e: e.decode_ms),
            14,
            126,
        ),
        gauge(
            "biplane_engine_accepts",
            "1 while the replica takes requests; 0 while it drains or is stuck.",
            _engine(lambda e: e.accepts),
        ),
        gauge(
            "biplane_engine_device_utilisation_ratio",
            "Mean of `biplane_device_utilisation_ratio` over the devices of its lease; absent where none is measured.",
            lambda r: r.utilisation,
        ),
    ),
)
SILENT: Section[float] = Section(
    "what each replica's engine (vLLM) says of itself, and deployments",
    APP,
    subjects.silent,
    (
        gauge(
            "biplane_engine_silent_seconds",
            "Since a replica that takes traffic last said anything; +Inf if it never did.",
            float,
        ),
    ),
)
STARTS: Section[float] = Section(
    "what each replica's engine (vLLM) says of itself",
    (*APP, "part"),
    subjects.starts,
    (gauge("biplane_engine_start_seconds", "How long each part of the replica's start took.", float),),
)
DEVICES: Section[Device] = Section(
    "node agents (NVML), through the scheduler; leases from the store",
    ("node", "device", "gpu"),
    lambda reading: (((d.node, d.uuid, d.model), d) for d in reading.devices.values()),
    (
        gauge(
            "biplane_device_utilisation_ratio",
            "The part of the last second at most in which a kernel ran; absent of simulated devices and in MIG mode.",
            _of_load(lambda load: load.utilisation),
        ),
        gauge(
            "biplane_device_memory_used_bytes",
            "Memory in use, without what the driver keeps; absent of simulated devices.",
            _of_load(lambda load: load.memory_used),
        ),
        gauge(
            "biplane_device_memory_bytes",
            "All of the memory; absent of simulated devices.",
            _of_load(lambda load: load.memory),
        ),
        gauge("biplane_device_leases", "How many leases hold it or a slice of it.", lambda d: d.leases),
        gauge("biplane_device_held_ratio", "The part of it that is given out.", lambda d: d.held),
        gauge("biplane_device_trouble", "1 while something is wrong with it.", lambda d: bool(d.trouble)),
    ),
)
ACTORS: Section[Actor] = Section(
    "control actors",
    ("actor",),
    lambda reading: (((actor.name,), actor) for actor in reading.actors),
    (
        gauge(
            "biplane_control_silent_seconds",
            "Since its last sign of life; +Inf if there never was one.",
            lambda a: math.inf if a.silent is None else a.silent,
        ),
    ),
)
PASSES: Section[float] = Section(
    "control actors",
    ("actor", "phase"),
    lambda reading: (((a.name, phase), seconds) for a in reading.actors for phase, seconds in a.phases.items()),
    (gauge("biplane_control_pass_seconds", "How long each phase of its last pass took.", float),),
)
QUEUES: Section[Backlog] = Section(
    "workloads",
    ("queue",),
    lambda reading: (((one.queue,), one) for one in reading.backlog),
    (
        gauge("biplane_workloads_pending", "Workloads that wait for devices.", lambda b: b.pending),
        gauge("biplane_workloads_oldest_wait_seconds", "How long the oldest of them has waited.", lambda b: b.oldest),
    ),
)
DEPLOYMENTS: Section[Deployment] = Section(
    "deployments",
    ("model",),
    lambda reading: (((one.name,), one) for one in reading.deployments),
    (
        gauge("biplane_replicas_wanted", "Replicas that should serve, of all versions.", lambda d: d.wanted),
        gauge("biplane_replicas_serving", "Replicas that can serve.", lambda d: d.serving),
        gauge(
            "biplane_objective_utilisation_ratio",
            "How busy its devices should be at least: `sla.utilization`.",
            lambda d: d.utilisation,
        ),
    ),
)
OBJECTIVES: Section[float] = Section(
    "deployments",
    ("model", "objective"),
    lambda reading: (
        ((d.name, about), ms / 1000) for d in reading.deployments for about, ms in d.objectives_ms.items()
    ),
    (gauge("biplane_objective_seconds", "What its SLA promises at most: ttft (p95), itl and latency (p99).", float),),
)
PHASES: Section[int] = Section(
    "deployments",
    ("phase",),
    lambda reading: (
        ((phase,), count) for phase, count in sorted(Counter(d.phase for d in reading.deployments).items())
    ),
    (gauge("biplane_deployments", "Deployments in this phase; a phase without any is absent.", float),),
)

SECTIONS: tuple[Section[Any], ...] = (
    TRAFFIC,
    EXCEEDED,
    GATEWAYS,
    *ROUTE_SECTIONS,
    ENGINES,
    SILENT,
    STARTS,
    DEVICES,
    ACTORS,
    PASSES,
    QUEUES,
    DEPLOYMENTS,
    OBJECTIVES,
    PHASES,
    *VECTOR_SECTIONS,
)
SERIES = frozenset(
    metric.name + suffix for section in SECTIONS for metric in section.metrics for suffix in metric.kind.suffixes
)
"""The names of all series: what a query may ask for."""
