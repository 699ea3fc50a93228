"""How many replicas the load of a deployment needs, by each of its figures. Pure.

What is in the engines (KV cache, running requests) adds up over replicas, so it says how many would hold it. What
piles up in front of them (the queue, and with it the time to first token) does not: while new replicas load it grows
from second to second whatever comes, and as long as it is there all engines run as much as they can. There the flow
counts: n saturated replicas finish as many as they can, so that n · came / finished of them would keep up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from control.engine_report import EngineReport
from control.router.autoscale_state import Mark, Scale, ScaleLook
from control.traffic import quantile

BUSY = 0.8
"""How full an engine should be, of what it runs at once or finishes at most."""
LEAST_REQUESTS = 20
"""Of fewer no quantile is read, nor a flow."""
FLOW_SECONDS = 10.0
"""A flow is measured over so long, or until enough requests have finished, but at most six times so long."""
_LONGEST = 6


@dataclass(frozen=True)
class Need:
    """`replicas`, not rounded, would bring the figure to its target. `piles`: it stays until a queue has drained."""

    replicas: float
    why: str
    piles: bool = False


def live(look: ScaleLook) -> tuple[EngineReport, ...]:
    return tuple(report for report in look.reports if report.accepts)


def needs(look: ScaleLook) -> Iterator[Need]:
    """By each figure that is known. There has to be a report."""
    reports, spec = live(look), look.spec
    on = f"on {len(reports)} replica" + "s" * (len(reports) != 1)
    waiting = sum(report.waiting for report in reports)
    yield Need(waiting / spec.queue, f"{waiting} requests wait {on} (target {spec.queue:g} a replica)", piles=True)
    used = sum(report.kv_usage for report in reports)
    cache = f"{100 * used / len(reports):.0f} % of the KV cache {on} is in use (target {100 * spec.kv_cache:g} %)"
    yield Need(used / spec.kv_cache, cache, piles=saturated(look))
    running = sum(report.running for report in reports)
    if ongoing := spec.ongoing or BUSY * _most_running(reports):
        why = f"{running} requests run {on} (target {ongoing:g} a replica)"
        yield Need(running / ongoing, why, piles=saturated(look))
    target = spec.ttft_ms or look.sla.ttft_ms
    slow = quantile(look.recent.ttft_ms, 0.95) if sum(look.recent.ttft_ms.values()) >= LEAST_REQUESTS else None
    # Where each request has a replica of its own, more of them would not be faster.
    if target and slow and running + waiting > look.serving:
        why = f"the p95 of the time to first token is {slow:.0f} ms {on} (target {target:g} ms)"
        yield Need(look.serving * slow / target, why, piles=True)


def _most_running(reports: Sequence[EngineReport]) -> float:
    return sum(report.most_running for report in reports) / len(reports)


def saturated(look: ScaleLook) -> bool:
    """Whether requests wait on most replicas; on a few, one long request may hold up the rest of its replica."""
    reports = live(look)
    return 2 * sum(report.waiting > 0 for report in reports) > len(reports)


def measured(scale: Scale, look: ScaleLook) -> Scale:
    """With the flow since the mark, where it is time. Only while the replicas are saturated is there a mark:
    else all that comes is finished, and nothing is known of how much more could be."""
    reports = live(look)
    here = Mark(
        look.now,
        {f"{report.url} {report.pid}": report.requests for report in reports},
        sum(report.busy for report in reports),
    )
    if scale.flow is not None and not 0 <= look.now - scale.flow_at <= _LONGEST * FLOW_SECONDS:
        scale = replace(scale, flow=None, flow_at=0.0)
    if not saturated(look):
        return replace(scale, mark=None)
    before = scale.mark
    if before is None or before.finished.keys() != here.finished.keys() or look.now < before.at:
        return replace(scale, mark=here)
    lasted = look.now - before.at
    finished = sum(count - before.finished[key] for key, count in here.finished.items())
    if lasted > _LONGEST * FLOW_SECONDS:
        return replace(scale, mark=here)
    if lasted < FLOW_SECONDS or finished < LEAST_REQUESTS:
        return scale
    came = max(0, finished + here.busy - before.busy)
    most = _most_running(reports)
    room = min(1.0, look.spec.ongoing / most) if look.spec.ongoing and most else BUSY
    return replace(scale, mark=here, flow=round(len(reports) * came / finished / room, 2), flow_at=look.now)
