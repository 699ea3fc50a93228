"""How `biplane gpus` draws nodes, devices, slices and leases."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from control.scheduler.occupancy import DeviceUse, NodeUse, Occupancy, Use
from control.specs.quantity import show_bytes
from scripts.cli.show import emit, out

MARKS = {
    Use.FREE: "[green]·[/]",
    Use.WHOLE: "[cyan]■[/]",
    Use.SHARED: "[yellow]▥[/]",
    Use.SLICED: "[magenta]▤[/]",
    Use.FOREIGN: "[dim]□[/]",
    Use.TROUBLE: "[red]✗[/]",
}
LEGEND = "· free  ■ whole  ▥ shared  ▤ MIG  □ held outside Biplane  ✗ in trouble"


def occupancy(found: Occupancy, *, json: bool) -> None:
    """One line a node; under it the devices that are not simply free."""
    if json:
        return emit(asdict(found))
    if not found.nodes:
        out.print("No node has joined yet.")
        return None
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NODE", "DEVICES", "FREE", "MODEL", "JOINED BY", "WHO"):
        drawn.add_column(column, overflow="fold")
    for node in found.nodes:
        marks = "".join(MARKS[device.use] for device in node.devices) or "-"
        where = f"{node.name} ({node.rack})" if node.rack else node.name
        model = f"{'simulated ' if node.simulated else ''}{node.gpu_model}"
        who = f"cordoned: {node.cordon}" if node.cordon else ""
        drawn.add_row(escape(where), marks, _free(node), escape(model), node.interconnect, escape(who))
        for device in node.devices:
            if device.use is not Use.FREE:
                drawn.add_row("", MARKS[device.use], "", escape(device.uuid), _size(device), escape(_who(device)))
    out.print(drawn)
    held = found.held_milli / 1000
    out.print(f"\n{held:g} of {found.devices} devices held; {found.fragmented_pct:g} % of what is free is in pieces")
    out.print(LEGEND, style="dim")
    return None


def _free(node: NodeUse) -> str:
    """How many devices' worth is free, and the largest number that one workload can still get."""
    return f"{node.free_milli / 1000:g}, {node.largest} whole"


def _size(device: DeviceUse) -> str:
    return show_bytes(device.memory) if device.memory else ""


def _who(device: DeviceUse) -> str:
    if device.trouble:
        return "; ".join((device.trouble, *device.holders))
    if device.slices:
        return ", ".join(f"{part.profile}@{part.start} {part.holder or 'free'}" for part in device.slices)
    return ", ".join(device.holders) or ("somebody outside Biplane" if device.use is Use.FOREIGN else "")
