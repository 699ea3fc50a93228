"""The nodes to count on: what was declared, what Ray reports, and what the agents say of the devices. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

from control.kernel.present import NodeView
from control.scheduler.state import WHOLE, AgentWanted, Device, Node, Slice, Workload
from control.scheduler.topology import links_for, numa_for
from control.specs.cluster import MIG_LAYOUT, MIG_ON_DEMAND
from control.specs.cluster import Node as DeclaredNode
from control.specs.inventory import SIMULATED_PREFIX, DeviceReport, NodeReport, SimulatedNode

NODE_LABEL = "biplane.io/node"
"""The Ray node label that carries the name of a node; without it a node is called after its Ray id."""
RACK_LABEL = "biplane.io/rack"
SIMULATED_RESOURCE = "sim-gpu"
REAL_RESOURCE = "GPU"
SIMULATED_DRIVER = "actors.devices.simulated:SimulatedDriver"
REAL_DRIVER = "actors.devices.nvml:NvmlDriver"

SILENT_SECONDS = 30.0
"""A node whose agent has been silent for so long takes nothing new: nobody would see its devices fail."""
BEGIN_SECONDS = 180.0
"""How long the agent of a simulated node may take to say anything at all: many start at once on one machine."""
LASTING_SECONDS = 5.0
"""How long devices have to be in others' hands before they count as such."""
_A_LITTLE = 1e-3  # of a device: Ray counts in ten-thousandths


@dataclass(frozen=True)
class Cordon:
    """Somebody wants nothing new on a node or device, for a reason; with `drain` nothing at all."""

    name: str
    reason: str
    drain: bool = False


def live_nodes(
    declared: Iterable[DeclaredNode],
    seen: Iterable[NodeView],
    cordons: Iterable[Cordon] = (),
    known: Iterable[Node] = (),
) -> tuple[Node, ...]:
    """Simulated nodes that Ray reports under their label, and real ones. One that is declared no more is ending.

    `known` are the nodes as they were last written down: what they have counts until their agent says otherwise. Of
    several Ray nodes with one name it is the one that is known, else the first by id.
    """
    by_name = {node.name: node for node in declared}
    before = {node.name: node for node in known}
    ordered = {cordon.name: cordon for cordon in cordons}
    called: dict[str, list[NodeView]] = {}
    for view in seen:
        if _name(view) in by_name or not view.resources.get(SIMULATED_RESOURCE):
            called.setdefault(_name(view), []).append(view)
    nodes = []
    for name, views in sorted(called.items()):
        was, declaration = before.get(name), by_name.get(name)
        view = min(views, key=lambda v: (was is None or v.node_id != was.node_id, v.node_id))
        node = _real(view, was) if declaration is None else _simulated(declaration, view, was)
        unwell = f"{len(views)} Ray nodes are called {name}" if len(views) > 1 else _unwell(node, view)
        nodes.append(_cordoned(node, unwell, ordered))
    return tuple(nodes)


def agents_wanted(
    declared: Iterable[DeclaredNode], seen: Iterable[NodeView], devices_directory: str
) -> tuple[AgentWanted, ...]:
    """The agents of which nothing was heard yet, for every node that has devices.

    The drivers of simulated devices keep them in files in `devices_directory`.
    """
    by_name = {node.name: node for node in declared}
    wanted = []
    for view in seen:
        name = view.labels.get(NODE_LABEL, "")
        if view.report is not None:
            continue
        if name in by_name:
            args = {"path": f"{devices_directory}/{name}.json", "node": asdict(declaration_of(by_name[name]))}
            wanted.append(AgentWanted(name, view.node_id, SIMULATED_DRIVER, args))
        elif view.resources.get(REAL_RESOURCE):
            wanted.append(AgentWanted(_name(view), view.node_id, REAL_DRIVER, {}))
    return tuple(wanted)


def declaration_of(node: DeclaredNode) -> SimulatedNode:
    """A declared node with its links, as its agent's driver gets it."""
    return SimulatedNode(
        name=node.name,
        gpus=node.gpus,
        model=node.gpu_model,
        memory=node.gpu_memory,
        interconnect=node.interconnect,
        links=_links(node.interconnect, node.gpus),
        numa=numa_for(node.gpus),
    )


_links = lru_cache(maxsize=64)(links_for)  # nodes of one kind have one matrix


def excess_on(nodes: Iterable[Node], seen: Iterable[NodeView], workloads: Iterable[Workload]) -> dict[str, int]:
    """By node, how many devices Ray has given out beyond all leases there, those of work that only starts included.

    A part of a device counts as a whole one. So long as our own work has not begun or has not ended the figure is too
    low, never too high; only between the end of a lease and Ray's notice of it is it too high for a moment.
    """
    ours: dict[str, float] = {}
    for workload in workloads:
        for piece in () if workload.lease is None else workload.lease.pieces:
            ours[piece.node] = ours.get(piece.node, 0.0) + len(piece.devices) * piece.milli / WHOLE
    used = {view.node_id: view.used for view in seen}
    excess = {}
    for node in nodes:
        over = used[node.node_id].get(node.resource, 0.0) - ours.get(node.name, 0.0)
        excess[node.name] = min(max(0, math.ceil(over - _A_LITTLE)), len(node.devices))
    return excess


class Foreign:
    """How many devices of each node others hold: an excess counts once it has lasted, and no longer than it is there.

    What it remembers is how long an excess has lasted. What was settled before is in the store with the node.
    """

    def __init__(self) -> None:
        self._rising: dict[str, tuple[float, int]] = {}  # since when, and the least that it was since

    def settle(self, nodes: Iterable[Node], excess: Mapping[str, int], known: Iterable[Node], now: float) -> list[Node]:
        """The nodes with their `foreign` devices. `known` are the nodes as the store has them."""
        settled = {node.name: node.foreign for node in known}
        counts = [(node, self._count(node.name, excess[node.name], settled, now)) for node in nodes]
        return [replace(node, foreign=count) if count else node for node, count in counts]

    def _count(self, name: str, excess: int, settled: Mapping[str, int], now: float) -> int:
        before = settled.get(name, 0)
        if excess <= before:
            self._rising.pop(name, None)
            return excess
        since, least = self._rising.get(name, (now, excess))
        self._rising[name] = (since, min(least, excess))
        if now - since < LASTING_SECONDS:
            return before
        del self._rising[name]
        return max(before, min(least, excess))


def _simulated(declared: DeclaredNode, view: NodeView, known: Node | None) -> Node:
    """Until its agent has told what it has, the devices as they were known, or as declared."""
    meant = declaration_of(declared)
    report = view.report if view.report is not None and view.report.devices else None
    devices = _devices((report or _declared_report(meant)).devices)
    if report is None and known is not None and _uuids(known.devices) == _uuids(devices):
        devices = _without_cordons(known.devices)
    return Node(
        name=declared.name,
        node_id=view.node_id,
        resource=SIMULATED_RESOURCE,
        gpu_model=declared.gpu_model,
        interconnect=declared.interconnect,
        devices=devices,
        memory=declared.memory,
        simulated=True,
        cpu=declared.cpus * 1000,
        rack=declared.rack or "",
        links=meant.links if report is None else report.links,
        layout=declared.layout,
        carve=declared.carve,
    )


@lru_cache(maxsize=4096)
def _declared_report(meant: SimulatedNode) -> NodeReport:
    devices = (
        DeviceReport(f"{SIMULATED_PREFIX}{meant.name}-{index}", meant.model, meant.memory, numa=numa)
        for index, numa in enumerate(meant.numa)
    )
    return NodeReport(tuple(devices), meant.links, meant.interconnect)


def _real(view: NodeView, known: Node | None) -> Node:
    """Until its agent tells what it has, what was known of it, else whole GPUs by Ray's count, indexed as CUDA does."""
    labels, resources = view.labels, view.resources
    node = Node(
        name=_name(view),
        node_id=view.node_id,
        resource=REAL_RESOURCE,
        gpu_model=labels.get("ray.io/accelerator-type", "GPU"),
        interconnect="unknown",
        devices=(),
        memory=int(resources.get("memory", 0)),
        simulated=False,
        cpu=max(1, round(resources.get("CPU", 0) * 1000)),  # 0 would mean that nobody knows
        rack=labels.get(RACK_LABEL, ""),
        layout=labels.get(MIG_LAYOUT, ""),
        carve=labels.get(MIG_ON_DEMAND) == "dynamic",
    )
    if view.report is not None and view.report.devices:
        report, model = view.report, view.report.devices[0].model
        devices, links, interconnect = _devices(report.devices), report.links, report.interconnect or "unknown"
    elif known is not None and known.devices:
        devices, model = _without_cordons(known.devices), known.gpu_model
        links, interconnect = known.links, known.interconnect
    else:
        devices = tuple(Device(str(index), 0) for index in range(int(resources.get(REAL_RESOURCE, 0))))
        return replace(node, devices=devices)
    return replace(node, devices=devices, gpu_model=model, links=links, interconnect=interconnect)


@lru_cache(maxsize=4096)
def _devices(reported: tuple[DeviceReport, ...]) -> tuple[Device, ...]:
    """Devices stay as they are from look to look, mostly."""
    return tuple(
        Device(
            uuid=device.uuid,
            memory=max(0, device.memory - device.reserved),
            numa=device.numa,
            mig=device.mig,
            slices=tuple(Slice(one.profile, one.start, one.uuid) for one in device.slices),
            trouble=device.trouble,
        )
        for device in reported
    )


def _uuids(devices: Iterable[Device]) -> list[str]:
    return [device.uuid for device in devices]


def _without_cordons(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """A person's word is asked for anew every time."""
    return tuple(replace(device, cordon="") if device.cordon else device for device in devices)


def _cordoned(node: Node, unwell: str, ordered: Mapping[str, Cordon]) -> Node:
    """The node with what keeps new work off it or off its devices: a person's word first, then what is seen."""
    if any(device.uuid in ordered for device in node.devices):
        node = replace(node, devices=tuple(_ordered(device, ordered.get(device.uuid)) for device in node.devices))
    if (cordon := ordered.get(node.name)) is not None:
        return replace(node, cordon=cordon.reason, drain=cordon.drain)
    return replace(node, cordon=unwell) if unwell else node


def _ordered(device: Device, cordon: Cordon | None) -> Device:
    if cordon is None:
        return device
    if cordon.drain and not device.trouble:
        return replace(device, trouble=f"drained: {cordon.reason}")
    return replace(device, cordon=cordon.reason)


def _unwell(node: Node, view: NodeView) -> str:
    """Why nothing new should go to the node; empty when all is well. The words stay the same while the reason does.

    A simulated node has what is declared, before its agent says so too, unless its devices may be cut.
    """
    if view.report is None:
        if view.silent > BEGIN_SECONDS:
            return "its agent does not start"
        cut = node.layout or node.carve or any(device.mig for device in node.devices)
        return "its agent has not reported its devices yet" if node.devices and (cut or not node.simulated) else ""
    if view.silent > SILENT_SECONDS:
        return f"its agent has not answered for more than {SILENT_SECONDS:.0f} s"
    return view.report.error


def _name(view: NodeView) -> str:
    return view.labels.get(NODE_LABEL) or view.node_id[:12]
