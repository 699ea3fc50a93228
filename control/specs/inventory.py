"""What a node has: the contract between a node's agent and the scheduler.

Everything here survives JSON through pydantic's `TypeAdapter`.
"""

from __future__ import annotations

from dataclasses import dataclass

SIMULATED_PREFIX = "SIM-"
"""The UUIDs of devices that are declared, not real, begin with it; so do those of their slices."""


@dataclass(frozen=True)
class SliceReport:
    """A MIG instance. `start` is its first memory slice, -1 when the driver tells that to root only."""

    profile: str
    start: int
    uuid: str


@dataclass(frozen=True)
class DeviceReport:
    """One GPU. `memory` in bytes, of which the driver keeps `reserved` for itself.

    `numa` is the NUMA node whose CPUs are near, -1 when the machine does not say. `trouble` is empty when the device
    is healthy, else it says for people what is wrong. `holders` are the pids of the compute processes seen on it.
    """

    uuid: str
    model: str
    memory: int
    reserved: int = 0
    numa: int = -1
    mig: bool = False
    slices: tuple[SliceReport, ...] = ()
    trouble: str = ""
    holders: tuple[int, ...] = ()


@dataclass(frozen=True)
class DeviceLoad:
    """How busy a GPU is, as NVML measures it; None is what it does not tell (of a device in MIG mode, how busy).

    `utilisation` is the part of NVML's last sampling period (a second at most) in which a kernel ran, 0 to 1.
    `memory_used` of `memory` bytes are in use, without what the driver keeps for itself.
    """

    uuid: str
    utilisation: float | None
    memory_used: int | None
    memory: int | None


@dataclass(frozen=True)
class NodeReport:
    """One look at a node.

    `links` is device × device as `nvidia-smi topo -m` writes it ("X" on the diagonal), in the order of `devices`;
    `interconnect` sums it up: nvswitch, nvlink or pcie. `error` says why the driver as a whole could not be asked: the
    devices are then the last that were known. `at`, in Unix seconds, is when the devices were seen. `loads` are those
    that were measured then: none of a simulated device, nor of one that does not answer.
    """

    devices: tuple[DeviceReport, ...] = ()
    links: tuple[tuple[str, ...], ...] = ()
    interconnect: str = ""
    error: str = ""
    at: float = 0.0
    loads: tuple[DeviceLoad, ...] = ()


@dataclass(frozen=True)
class SlicePlace:
    """Where a MIG instance is wanted: its profile and first memory slice."""

    profile: str
    start: int


@dataclass(frozen=True)
class CutOrder:
    """How a device should be cut. Carrying an order out twice is the same as once.

    What is in `destroy` is recognised by its UUID, so that a repeated order leaves alone what was made since.
    """

    device: str
    mig: bool
    destroy: tuple[SliceReport, ...] = ()
    create: tuple[SlicePlace, ...] = ()


@dataclass(frozen=True)
class ClaimReport:
    """A process that holds a device or slice: `holder` names its workload, `since` in Unix seconds.

    `shared` when others may hold the same device beside it. A claim that is being written has no `holder` yet and
    the `pid` 0.
    """

    device: str
    holder: str
    pid: int
    since: float
    shared: bool


@dataclass(frozen=True)
class SimulatedNode:
    """A declared node as its agent's driver gets it: `gpus` devices of `memory` bytes.

    `links` and `numa` have one row and one entry a device.
    """

    name: str
    gpus: int
    model: str
    memory: int
    interconnect: str
    links: tuple[tuple[str, ...], ...]
    numa: tuple[int, ...]
    reserved: int = 0
