"""Whether a workload fits a node, and on which devices. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control.scheduler.state import Device, Lease, Node, Workload

GIB = 1 << 30


@dataclass(frozen=True)
class Room:
    """What is left of a node."""

    node: Node
    devices: tuple[Device, ...]
    memory: int

    @staticmethod
    def of(node: Node, holders: Iterable[Workload]) -> Room:
        """The node less what `holders` hold of it."""
        here = [w for w in holders if w.lease is not None and w.lease.node == node.name]
        taken = {uuid for w in here if w.lease is not None for uuid in w.lease.devices}
        free = tuple(device for device in node.devices if device.uuid not in taken)
        return Room(node, free, node.memory - sum(w.lease.memory for w in here if w.lease is not None))

    def refusal(self, workload: Workload) -> str:
        """Why the workload does not fit here now; empty when it does. The first rule that fails speaks."""
        large = [d for d in self.node.devices if d.memory >= workload.device_memory]
        free = [d for d in self.devices if d.memory >= workload.device_memory]
        model = self.node.gpu_model
        if workload.devices > len(large) and workload.device_memory:
            return (
                f"{self.node.name} has {len(large)} {model} with {workload.device_memory / GIB:.0f} GiB,"
                f" {workload.devices} are asked for"
            )
        if workload.devices > len(large):
            return f"{self.node.name} has {len(large)} {model}, {workload.devices} are asked for"
        if workload.memory > self.node.memory:
            return (
                f"{self.node.name} has {self.node.memory / GIB:.0f} GiB of memory,"
                f" {workload.memory / GIB:.0f} GiB are asked for"
            )
        if workload.devices > len(free):
            return (
                f"{self.node.name} has {len(free)} of its {len(large)} {model} free, {workload.devices} are asked for"
            )
        if workload.memory > self.memory:
            return (
                f"{self.node.name} has {self.memory / GIB:.0f} of its {self.node.memory / GIB:.0f} GiB of memory"
                f" free, {workload.memory / GIB:.0f} GiB are asked for"
            )
        return ""

    def lease(self, workload: Workload) -> Lease:
        """The lease for a workload that fits: the first free devices that are large enough."""
        chosen = [d.uuid for d in self.devices if d.memory >= workload.device_memory][: workload.devices]
        return Lease(self.node.name, self.node.node_id, self.node.resource, tuple(chosen), workload.memory)


def refusals_when_empty(workload: Workload, nodes: Iterable[Node]) -> tuple[str, ...]:
    """Why no node could ever host the workload, one reason a node; empty when some node could."""
    reasons = tuple(Room.of(node, ()).refusal(workload) for node in nodes)
    return reasons if all(reasons) else ()
