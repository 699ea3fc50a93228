"""Which applications end, and which devices go back: what no deployment needs and no published route names. Pure."""

from __future__ import annotations

from control.kernel.ids import APP_WORKLOAD_PREFIX, AppName
from control.kernel.plan import EndApp, Plan, Remove
from control.kernel.present import AppState
from control.router.fleet import lease_of
from control.router.state import Snapshot

DRAIN_SECONDS = 4.0
"""How long after a new table an application that it no longer names goes on: gateways read the table twice a second."""
PATIENCE_SECONDS = 600.0
"""How long it goes on at most for the requests that it still has."""


def retire(snapshot: Snapshot, kept: frozenset[str], workloads: frozenset[str]) -> Plan:
    """`kept` are the applications, `workloads` the names of the workloads, that deployments need."""
    running = [
        app
        for app in map(AppName.parse, sorted(snapshot.apps))
        if app is not None and snapshot.apps[str(app)].state is not AppState.ENDING
    ]
    ends = tuple(
        EndApp(kind="Deployment", name=app.deployment, reason=reason, app=str(app))
        for app in running
        if str(app) not in kept and (reason := _why_end(app, snapshot))
    )
    # A workload goes only after its application is gone: two workloads must never hold one device.
    needed = workloads | {app.workload for app in map(AppName.parse, snapshot.apps) if app is not None}
    releases = tuple(
        Remove(kind="Workload", name=name, event="Released", reason="its application is gone")
        for name in sorted(snapshot.placements)
        if name.startswith(APP_WORKLOAD_PREFIX) and name not in needed
    )
    return Plan(releases, ends)


def _why_end(app: AppName, snapshot: Snapshot) -> str:
    """Why an application that is not kept is ended now; empty while requests may still come to it."""
    placement = snapshot.placements.get(app.workload)
    if placement is None or not placement.pieces or lease_of(placement) != app.lease:
        return "its devices are not its own any more"
    if placement.evicted and snapshot.now >= placement.deadline:
        return f"evicted: {placement.evicted}"
    report = snapshot.engines.get(str(app))
    patience = PATIENCE_SECONDS if report is not None and report.busy else DRAIN_SECONDS
    drained = snapshot.now - snapshot.published_at >= patience
    if not drained or snapshot.surroundings.serve_url + app.route_prefix in snapshot.routed:
        return ""
    if placement.evicted:
        return f"evicted: {placement.evicted}"
    failed = snapshot.apps[str(app)].state is AppState.FAILED
    return "it failed and is tried again" if failed else "no deployment needs it any more"
