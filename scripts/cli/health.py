"""How `biplane health` looks: the article's questions, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from rich.markup import escape

from control.health import Health
from scripts.cli.show import emit, out, table


def health(found: Health, *, json: bool) -> None:
    if json:
        return emit(asdict(found))
    out.print("[bold]Control plane[/]")
    rows = [("ok" if one.ok else "SILENT", one.name, _ago(one.seconds_ago)) for one in found.components]
    table(("STATE", "COMPONENT", "LAST SEEN"), rows)
    out.print(escape(f"GPU policy: {found.policy}"))
    out.print(f"\n[bold]Pending GPU requests[/]: {len(found.backlog) or 'none'}")
    if found.backlog:
        waiting = [(one.workload, one.devices, f"{one.seconds:.0f} s", one.reason) for one in found.backlog]
        table(("WORKLOAD", "DEVICES", "WAITS", "WHY"), waiting)
    out.print(f"\n[bold]Inference servers[/]: {len(found.servers) or 'none'}")
    if found.servers:
        serving = [(s.deployment, s.phase, ", ".join(map(str, s.versions)) or "-", s.reason) for s in found.servers]
        table(("DEPLOYMENT", "PHASE", "VERSIONS", "WHY"), serving)
    devices = found.devices
    kind = " (simulated: nothing measures how busy they are)" if devices.simulated else ""
    out.print(f"\n[bold]Devices[/]: {devices.held:g} of {devices.devices} held{kind}")
    out.print("\n[bold]Latency[/] (p50 / p95 / p99, ms)" + ("" if found.latency else ": no request yet"))
    if found.latency:
        table(
            ("DEPLOYMENT", "VERSION", "REQUESTS", "ERRORS", "LATENCY", "FIRST TOKEN", "BETWEEN TOKENS"),
            [
                (one.deployment, one.version, one.requests, one.errors, *map(_quantiles, _measured(one)))
                for one in found.latency
            ],
        )
    out.print()
    for problem in found.problems:
        out.print(f"[red]✗[/] {escape(problem)}")
    if not found.problems:
        out.print("[green]✓[/] all is as it should be")
    return None


def _measured(one: object) -> list[Mapping[str, float | None]]:
    return [getattr(one, name) for name in ("latency_ms", "ttft_ms", "itl_ms")]


def _quantiles(values: Mapping[str, float | None]) -> str:
    return " / ".join("-" if value is None else f"{value:.1f}" for value in values.values())


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"
