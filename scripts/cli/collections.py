"""How collections look: one line each, or one with its shards and their replicas."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.markup import escape

from control import vector_report
from control.client import Client
from control.kernel.beats import read_beats
from control.kernel.ids import ReplicaName, life_of
from control.kernel.store import Object
from control.vector_report import STALE_SECONDS, VectorReport
from scripts.cli.show import emit, out, table, whole

MIB = 1 << 20
Reports = Mapping[str, VectorReport]
"""By actor; those that said something lately."""


def reports_of(client: Client) -> Reports:
    beats = client.store.heartbeats(vector_report.BEAT_PREFIX)
    said = read_beats(beats, vector_report.BEAT_PREFIX, vector_report.parse)
    now = time.time()
    return {vector_report.BEAT_PREFIX + rest: report for rest, at, report in said if now - at <= STALE_SECONDS}


def rows_of(collection: Object, reports: Reports) -> int:
    """As the leaders of its shards count them; of a shard without one, the replica that has most."""
    return sum(_rows(collection, shard, reports) for shard in collection.status.get("shards", ()))


def listed(found: Iterable[Object], reports: Reports, *, json: bool) -> None:
    found = tuple(found)
    if json:
        return emit({"collections": [{**whole(o), "rows": rows_of(o, reports)} for o in found]})
    if not found:
        out.print("No collection; make one with: biplane vectors create NAME --dimension N")
        return None
    return table(
        ("NAME", "PHASE", "ROWS", "DIMENSION", "METRIC", "SHARDS", "REPLICAS", "INDEX", "WHY"),
        (
            (
                o.name,
                o.status.get("phase", "-"),
                f"{rows_of(o, reports):,}",
                *(o.spec["spec"][name] for name in ("dimension", "metric", "shards", "replicas")),
                o.spec["spec"]["index"]["kind"],
                o.status.get("reason", "vectors control has not seen it yet"),
            )
            for o in found
        ),
    )


def described(found: Object, reports: Reports, *, json: bool) -> None:
    shards, move = (
        [_shard(found, shard, reports) for shard in found.status.get(name, ())] for name in ("shards", "move")
    )
    if json:
        return emit({**whole(found), "rows": rows_of(found, reports), "shards": shards, "move": move})
    spec, status = found.spec["spec"], found.status
    out.print(
        f"[bold]{escape(found.name)}[/] {status.get('phase', '-')}: {escape(status.get('reason', 'not seen yet'))}"
    )
    fields = ", ".join(f"{one['name']} {one['type']}{' (many)' if one['many'] else ''}" for one in spec["fields"])
    out.print(f"{spec['dimension']} dimensions, {spec['metric']}, ids are {spec['ids']}s; fields: {fields or 'none'}")
    out.print(f"{rows_of(found, reports):,} rows, index {spec['index']['kind']} on {spec['index']['device']}\n")
    return table(
        ("SHARD", "EPOCH", "REPLICA", "NODE", "STATE", "ROWS", "DEAD", "SEGMENTS", "BUILDS", "BEHIND", "MEMORY", "LOG"),
        (_cells(shard, one) for shard in (*shards, *move) for one in shard["replicas"]),
    )


def _cells(shard: Mapping[str, Any], one: Mapping[str, Any]) -> tuple[object, ...]:
    place = (shard["shard"], shard["epoch"], one["replica"], one["node"] or "-")
    state = one["state"] + (f": {one['reason']}" if one["reason"] else "")
    said = one["report"]
    if said is None:
        return (*place, state, *["-"] * 7)
    if said["copied"] >= 0:
        state += f": copied {said['copied']:.0%} of its rows, {said['uncopied']:,} entries behind"
    sizes = (f"{said[name] / MIB:,.0f} MiB" for name in ("memory_bytes", "log_bytes"))
    counts = (f"{said[name]:,}" for name in ("rows", "dead", "segments", "builds", "behind"))
    return (*place, state, *counts, *sizes)


def _shard(collection: Object, told: Mapping[str, Any], reports: Reports) -> dict[str, Any]:
    replicas = [{**one, "report": _report(collection, told, one["replica"], reports)} for one in told["replicas"]]
    return {**told, "rows": _rows(collection, told, reports), "replicas": replicas}


def _report(collection: Object, shard: Mapping[str, Any], replica: int, reports: Reports) -> dict[str, Any] | None:
    found = reports.get(str(ReplicaName(collection.name, life_of(collection.uid), shard["shard"], replica)))
    return None if found is None else asdict(found)


def _rows(collection: Object, shard: Mapping[str, Any], reports: Reports) -> int:
    said = {one["replica"]: _report(collection, shard, one["replica"], reports) for one in shard["replicas"]}
    leader = said.get(shard["leader"])
    known = [leader] if leader else [one for one in said.values() if one]
    return max((int(one["rows"]) for one in known), default=0)
