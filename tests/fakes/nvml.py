"""`pynvml` and `nvidia-smi` over an imagined machine: constants, structures and errors are those of the real module.

`dgx_h100()` has the shape that NVML and `nvidia-smi topo -m` give for a DGX H100: eight GPUs on two sockets, each with
18 NVLinks to switches.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.devices.driver import CutError

pynvml: Any = importlib.import_module("pynvml")

SWITCH = "switch"
MIB = 1 << 20


@dataclass
class Instance:
    """A GPU instance; without a compute instance it has no UUID and nobody can use it."""

    number: int
    profile: str
    start: int
    uuid: str | None


@dataclass
class Gpu:
    """`links` has where each active NVLink ends: SWITCH, or a bus number. `errors`: function name → NVML error.

    `busy` is in percent.
    """

    uuid: str
    bus: int
    numa: int = 0
    links: list[str | int] = field(default_factory=list)
    mig: bool = False
    instances: list[Instance] = field(default_factory=list)
    ecc: int = 0
    row_failure: bool = False
    recovery: int = 0
    busy: int = 0
    pids: list[int] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    mig_stays_pending: bool = False
    gone: bool = False


def dgx_h100() -> list[Gpu]:
    buses = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)
    return [Gpu(f"GPU-{index}", bus, index // 4, [SWITCH] * 18) for index, bus in enumerate(buses)]


class FakeNvml:
    """The module, over `gpus`. A handle is the Gpu, or its Instance. `errors`: of the library as a whole."""

    def __init__(self, gpus: list[Gpu]) -> None:
        self.gpus = gpus
        self.errors: dict[str, int] = {}
        self.events: list[tuple[Gpu, int]] = []
        self.registered: set[str] = set()
        self.open = 0
        self.calls: list[str] = []
        self.made = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("NVML", "nvmlEventType", "nvmlMemory_")):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def fail(self, error: int) -> None:
        raise pynvml.NVMLError(error)

    def _asked(self, name: str, handle: Any = None) -> None:
        """Raises what the function `name` was told to raise."""
        self.calls.append(name)
        gpu = handle if isinstance(handle, Gpu) else None
        if name in self.errors:
            self.fail(self.errors[name])
        if name not in ("nvmlInit", "nvmlShutdown", "nvmlEventSetFree") and not self.open:
            self.fail(pynvml.NVML_ERROR_UNINITIALIZED)
        if gpu is not None and (name in gpu.errors or "*" in gpu.errors):
            self.fail(gpu.errors.get(name, gpu.errors.get("*", 0)))

    def nvmlInit(self) -> None:
        self._asked("nvmlInit")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self._asked("nvmlShutdown")
        self.open -= 1

    def nvmlEventSetCreate(self) -> object:
        self._asked("nvmlEventSetCreate")
        return self

    def nvmlEventSetFree(self, events: object) -> None:
        self._asked("nvmlEventSetFree")
        self.registered.clear()

    def nvmlDeviceGetSupportedEventTypes(self, handle: Gpu) -> int:
        self._asked("nvmlDeviceGetSupportedEventTypes", handle)
        return int(pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeClock)

    def nvmlDeviceRegisterEvents(self, handle: Gpu, kinds: int, events: object) -> None:
        self._asked("nvmlDeviceRegisterEvents", handle)
        assert kinds == pynvml.nvmlEventTypeXidCriticalError
        self.registered.add(handle.uuid)

    def nvmlEventSetWait_v2(self, events: object, milliseconds: int) -> Any:
        self._asked("nvmlEventSetWait_v2")
        assert milliseconds == 0
        if not self.events:
            self.fail(pynvml.NVML_ERROR_TIMEOUT)
        gpu, xid = self.events.pop(0)
        return _Record(device=gpu, eventType=pynvml.nvmlEventTypeXidCriticalError, eventData=xid)

    def xid(self, gpu: Gpu, number: int) -> None:
        """The driver sees an error; nobody hears of it when the device is not watched."""
        if gpu.uuid in self.registered:
            self.events.append((gpu, number))

    def nvmlDeviceGetCount(self) -> int:
        self._asked("nvmlDeviceGetCount")
        return len([gpu for gpu in self.gpus if not gpu.gone])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        gpu = [gpu for gpu in self.gpus if not gpu.gone][index]
        self._asked("nvmlDeviceGetHandleByIndex", gpu)
        return gpu

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Gpu:
        self._asked("nvmlDeviceGetHandleByUUID")
        for gpu in self.gpus:
            if gpu.uuid == uuid:
                return gpu
        return self.fail(pynvml.NVML_ERROR_NOT_FOUND)  # type: ignore[func-returns-value,return-value]

    def nvmlDeviceGetUUID(self, handle: Gpu | Instance) -> str:
        self._asked("nvmlDeviceGetUUID", handle)
        assert handle.uuid is not None
        return handle.uuid

    def nvmlDeviceGetName(self, handle: Gpu | Instance) -> str:
        self._asked("nvmlDeviceGetName", handle)
        return "NVIDIA H100 80GB HBM3" + (f" MIG {handle.profile}" if isinstance(handle, Instance) else "")

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu, version: int | None = None) -> Any:
        self._asked("nvmlDeviceGetMemoryInfo_v2" if version else "nvmlDeviceGetMemoryInfo", handle)
        total, reserved, used = 81559 * MIB, 551 * MIB, 4096 * MIB
        if version:
            return _Record(total=total, reserved=reserved, used=used)
        return _Record(total=total, used=used + reserved)

    def nvmlDeviceGetUtilizationRates(self, handle: Gpu) -> Any:
        self._asked("nvmlDeviceGetUtilizationRates", handle)
        return _Record(gpu=handle.busy, memory=0)

    def nvmlDeviceGetPciInfo(self, handle: Gpu) -> Any:
        self._asked("nvmlDeviceGetPciInfo", handle)
        return _pci(handle.bus)

    def nvmlDeviceGetNvLinkState(self, handle: Gpu, link: int) -> int:
        self._asked("nvmlDeviceGetNvLinkState", handle)
        if not handle.links:
            self.fail(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if link >= 18:
            self.fail(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return int(link < len(handle.links))

    def nvmlDeviceGetNvLinkRemoteDeviceType(self, handle: Gpu, link: int) -> int:
        self._asked("nvmlDeviceGetNvLinkRemoteDeviceType", handle)
        kind = pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH if handle.links[link] == SWITCH else None
        return int(pynvml.NVML_NVLINK_DEVICE_TYPE_GPU if kind is None else kind)

    def nvmlDeviceGetNvLinkRemotePciInfo(self, handle: Gpu, link: int) -> Any:
        self._asked("nvmlDeviceGetNvLinkRemotePciInfo", handle)
        return _pci(int(handle.links[link]))

    def nvmlDeviceGetTopologyCommonAncestor(self, one: Gpu, other: Gpu) -> int:
        """A pair of neighbours in `gpus` shares a switch."""
        self._asked("nvmlDeviceGetTopologyCommonAncestor", one)
        i, j = self.gpus.index(one), self.gpus.index(other)
        near = pynvml.NVML_TOPOLOGY_SINGLE if i // 2 == j // 2 else pynvml.NVML_TOPOLOGY_NODE
        return int(near if one.numa == other.numa else pynvml.NVML_TOPOLOGY_SYSTEM)

    def nvmlDeviceGetMigMode(self, handle: Gpu) -> list[int]:
        self._asked("nvmlDeviceGetMigMode", handle)
        return [int(handle.mig), int(handle.mig)]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Gpu) -> int:
        self._asked("nvmlDeviceGetMaxMigDeviceCount", handle)
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Gpu, index: int) -> Instance:
        self._asked("nvmlDeviceGetMigDeviceHandleByIndex", handle)
        usable = [one for one in handle.instances if one.uuid is not None]
        if index >= len(usable):
            self.fail(pynvml.NVML_ERROR_NOT_FOUND)
        return usable[index]

    def nvmlDeviceGetGpuInstanceId(self, handle: Instance) -> int:
        self._asked("nvmlDeviceGetGpuInstanceId", handle)
        return handle.number

    def nvmlDeviceGetGpuInstanceById(self, handle: Gpu, number: int) -> Instance:
        self._asked("nvmlDeviceGetGpuInstanceById", handle)
        return next(one for one in handle.instances if one.number == number)

    def nvmlGpuInstanceGetInfo(self, instance: Instance) -> Any:
        self._asked("nvmlGpuInstanceGetInfo", instance)
        return _Record(placement=_Record(start=instance.start))

    def nvmlDeviceGetTotalEccErrors(self, handle: Gpu, kind: int, counter: int) -> int:
        self._asked("nvmlDeviceGetTotalEccErrors", handle)
        assert (kind, counter) == (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        return handle.ecc

    def nvmlDeviceGetRemappedRows(self, handle: Gpu) -> tuple[int, int, int, int]:
        self._asked("nvmlDeviceGetRemappedRows", handle)
        return 0, 1, 0, int(handle.row_failure)

    def nvmlDeviceGetFieldValues(self, handle: Gpu, fields: Sequence[int]) -> Any:
        self._asked("nvmlDeviceGetFieldValues", handle)
        assert list(fields) == [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION]
        values = (pynvml.c_nvmlFieldValue_t * 1)()
        values[0].nvmlReturn = pynvml.NVML_SUCCESS
        values[0].value.uiVal = handle.recovery
        return values

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Gpu) -> list[Any]:
        self._asked("nvmlDeviceGetComputeRunningProcesses_v3", handle)
        return [_Record(pid=pid) for pid in handle.pids]

    def smi(self, arguments: Sequence[str]) -> str:
        """nvidia-smi, as far as it cuts devices; it says no as the real one does."""
        self.calls.append("nvidia-smi " + " ".join(arguments))
        match list(arguments):
            case ["-i", uuid, "-mig", mode]:
                gpu = self._named(uuid)
                if "nvmlDeviceGetMigMode" in gpu.errors:
                    raise CutError("nvidia-smi ended with 3: Unable to enable MIG Mode: Not Supported")
                if not gpu.mig_stays_pending and not self.open:
                    gpu.mig = mode == "1"
                return "All done."
            case ["mig", "-i", uuid, "-lgi"]:
                return self._listed(self._named(uuid))
            case ["mig", "-i", uuid, "-gi", number, "-dci"]:
                self._instance(uuid, number).uuid = None
            case ["mig", "-i", uuid, "-gi", number, "-cci"]:
                self._instance(uuid, number).uuid = self._new_uuid()
            case ["mig", "-i", uuid, "-gi", number, "-dgi"]:
                instance = self._instance(uuid, number)
                if instance.uuid is not None:
                    raise CutError(f"Unable to destroy GPU instance ID {number}: In use by another client")
                self._named(uuid).instances.remove(instance)
            case ["mig", "-i", uuid, "-cgi", tuple_, "-C"]:
                profile, _, start = tuple_.partition(":")
                self.made += 1
                self._named(uuid).instances.append(Instance(self.made, profile, int(start), self._new_uuid()))
            case _:
                raise AssertionError(f"not an order that nvidia-smi knows: {arguments}")
        return ""

    def _listed(self, gpu: Gpu) -> str:
        if not gpu.mig:
            raise CutError("nvidia-smi ended with 6: No MIG-enabled devices found.")
        if not gpu.instances:
            raise CutError("nvidia-smi ended with 6: No GPU instances found: Not Found")
        lines = [
            f"|   0  MIG {one.profile:<16} 19 {one.number:>8} {one.start:>10}:1     |\n+----------+"
            for one in gpu.instances
        ]
        return "\n".join(("| GPU instances:   |", "| GPU   Name   Profile  Instance   Placement  |", *lines))

    def _named(self, uuid: str) -> Gpu:
        return next(gpu for gpu in self.gpus if gpu.uuid == uuid)

    def _instance(self, uuid: str, number: str) -> Instance:
        return next(one for one in self._named(uuid).instances if one.number == int(number))

    def _new_uuid(self) -> str:
        self.made += 1
        return f"MIG-{self.made}"


class _Record:
    """A structure with the fields that are given."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def _pci(bus: int) -> Any:
    found = pynvml.nvmlPciInfo_t()
    found.domain, found.bus, found.device = 0, bus, 0
    found.busId = f"00000000:{bus:02X}:00.0".encode()
    return found


def pci_devices(root: Path, gpus: Sequence[Gpu]) -> Path:
    """What Linux tells of the same machine under /sys/bus/pci/devices."""
    for gpu in gpus:
        directory = root / f"0000:{gpu.bus:02x}:00.0"
        directory.mkdir(parents=True)
        (directory / "numa_node").write_text(f"{gpu.numa}\n")
    return root
