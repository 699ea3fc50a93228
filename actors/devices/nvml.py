"""Real devices, seen through NVML and cut with `nvidia-smi mig`.

It keeps nothing on disk: what there is, is asked. Only XID errors are events that nobody can ask for afterwards: an
agent that restarts forgets them, and learns of a device that is still broken from its ECC counters, from the recovery
that the driver wants, or from the next error.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors.devices.ask import Asker
from actors.devices.driver import CutError
from actors.devices.mig import Smi, create, destroy, nvidia_smi, slices_of
from actors.devices.nvlink import links_between
from actors.devices.xid import trouble_of
from control.specs.inventory import CutOrder, DeviceLoad, DeviceReport, NodeReport

QUIET_SECONDS = 300.0
"""A device with an XID error is healthy again when NVML answers every question about it, the driver wants no recovery,
and no further error came for so long. A reset clears the ECC counters and the wanted recovery."""
PCI_DEVICES = Path("/sys/bus/pci/devices")
_MOST_EVENTS = 256  # of one look: a device that floods the queue must not hold the others up

_RECOVERIES = {
    1: "a reset of the GPU",
    2: "a reboot of the node",
    3: "its peer-to-peer traffic drained",
    4: "its peer-to-peer traffic drained and a reset of the GPU",
    5: "a recovery of the IMEX domain",
    6: "a reset of the PCIe bus",
    7: "a reboot of the system",
}
"""NVML_GPU_RECOVERY_ACTION_*"""


class NvmlDriver:
    """The GPUs that NVML shows. A device once seen stays in the report, in trouble, when NVML no longer shows it."""

    def __init__(
        self,
        nvml: Any = None,
        smi: Smi = nvidia_smi,
        clock: Callable[[], float] = time.time,
        pci_devices: Path = PCI_DEVICES,
    ) -> None:
        self._nvml = nvml or importlib.import_module("pynvml")
        self._smi = smi
        self._clock = clock
        self._pci_devices = pci_devices
        self._lock = threading.Lock()
        self._open = False
        self._events: Any = None
        self._watched: set[str] = set()
        self._xids: dict[str, tuple[str, float]] = {}
        self._last = NodeReport()

    def report(self) -> NodeReport:
        with self._lock:
            try:
                self._start()
                self._last = self._look()
            except self._nvml.NVMLError as error:
                self._stop()
                return replace(self._last, error=f"NVML: {error}")
            return self._last

    def cut(self, order: CutOrder) -> None:
        device = order.device
        if order.create and not order.mig:
            raise CutError(f"{device} cannot have slices without MIG mode")
        with self._lock:
            try:
                self._start()
                if order.mig:
                    self._switch(device, on=True)
                if self._mode(device):
                    destroy(self._smi, device, order.destroy, slices_of(self._nvml, self._handle(device)))
                    create(self._smi, device, order.create, slices_of(self._nvml, self._handle(device)))
                if not order.mig:
                    self._switch(device, on=False)
            except self._nvml.NVMLError as error:
                self._stop()
                raise CutError(f"{device}: NVML: {error}") from error

    def _start(self) -> None:
        if not self._open:
            self._nvml.nvmlInit()
            self._open = True
            self._events = Asker(self._nvml)("XID errors", None, self._nvml.nvmlEventSetCreate)

    def _stop(self) -> None:
        """Let go of the library: it is started afresh at the next call."""
        # What has failed may fail at its end too.
        if self._events is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlEventSetFree(self._events)
        if self._open:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._open, self._events = False, None
        self._watched.clear()

    def _look(self) -> NodeReport:
        nvml = self._nvml
        handles: dict[str, Any] = {}
        nameless: dict[int, str] = {}
        for index in range(nvml.nvmlDeviceGetCount()):
            ask = Asker(nvml)
            handle = ask("handle", None, nvml.nvmlDeviceGetHandleByIndex, index)
            uuid = None if handle is None else ask("UUID", None, nvml.nvmlDeviceGetUUID, handle)
            if uuid is None:
                nameless[index] = "; ".join(ask.troubles) or "NVML does not tell its UUID"
            else:
                handles[uuid] = handle
        self._read_events()
        known = {device.uuid: device for device in self._last.devices if not device.uuid.startswith("index-")}
        self._watched &= handles.keys()
        lost = "; ".join(nameless.values()) or "lost: NVML no longer sees it"
        devices = [
            self._device(uuid, handles[uuid], known.get(uuid))
            if uuid in handles
            else replace(known[uuid], trouble=lost, holders=())
            for uuid in (*known, *(uuid for uuid in handles if uuid not in known))
        ]
        if len(nameless) > len(known.keys() - handles.keys()):
            # Nobody ever told the name of some of these, as after a restart beside a broken device.
            devices += [DeviceReport(f"index-{index}", "", 0, trouble=said) for index, said in nameless.items()]
        links, interconnect = links_between(nvml, [handles.get(device.uuid) for device in devices])
        loads = tuple(self._load(uuid, handle) for uuid, handle in handles.items())
        return NodeReport(tuple(devices), links, interconnect, at=self._clock(), loads=loads)

    def _device(self, uuid: str, handle: Any, was: DeviceReport | None) -> DeviceReport:
        """One device, each question for itself; what NVML does not say now is as it was."""
        nvml, ask = self._nvml, Asker(self._nvml)
        before = was or DeviceReport(uuid, "", 0)
        memory, reserved, _ = ask("memory", (before.memory, before.reserved, 0), _memory, nvml, handle)
        mig_now, _ = ask("MIG mode", (int(before.mig), 0), nvml.nvmlDeviceGetMigMode, handle)
        mig = mig_now == nvml.NVML_DEVICE_MIG_ENABLE
        uncorrected, volatile = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        ecc = ask("ECC errors", 0, nvml.nvmlDeviceGetTotalEccErrors, handle, uncorrected, volatile)
        *_, unremapped = ask("remapped rows", (0,), nvml.nvmlDeviceGetRemappedRows, handle)
        recovery = ask("recovery action", 0, _recovery, nvml, handle)
        ask("XID errors", None, self._watch, uuid, handle)
        device = DeviceReport(
            uuid=uuid,
            model=ask("name", before.model, nvml.nvmlDeviceGetName, handle),
            memory=memory,
            reserved=reserved,
            numa=self._numa(ask("PCI address", None, nvml.nvmlDeviceGetPciInfo, handle)),
            mig=mig,
            slices=ask("MIG instances", before.slices, slices_of, nvml, handle) if mig else (),
            holders=ask("processes", (), _holders, nvml, handle),
        )
        troubles = list(ask.troubles)
        if troubles:
            self._watched.discard(uuid)
        if ecc:
            troubles.append(f"double-bit ECC errors: {ecc}")
        if unremapped:
            troubles.append("a bad memory row could not be remapped")
        if recovery:
            troubles.append(f"the driver wants {_RECOVERIES.get(recovery, f'recovery action {recovery}')}")
        return replace(device, trouble="; ".join((*self._xid_of(uuid, healthy=not troubles), *troubles)))

    def _load(self, uuid: str, handle: Any) -> DeviceLoad:
        """What is not told here is no trouble of the device: what matters of its health is asked for elsewhere."""
        ask = Asker(self._nvml)
        utilisation = ask("utilisation", None, _utilisation, self._nvml, handle)
        memory: tuple[int, int, int] | None = ask("memory", None, _memory, self._nvml, handle)
        total, _, used = memory or (None, None, None)
        return DeviceLoad(uuid, utilisation, used, total)

    def _watch(self, uuid: str, handle: Any) -> None:
        if self._events is not None and uuid not in self._watched:
            wanted = self._nvml.nvmlEventTypeXidCriticalError & self._nvml.nvmlDeviceGetSupportedEventTypes(handle)
            if wanted:
                self._nvml.nvmlDeviceRegisterEvents(handle, wanted, self._events)
            self._watched.add(uuid)

    def _read_events(self) -> None:
        nvml = self._nvml
        for _ in range(0 if self._events is None else _MOST_EVENTS):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
            except nvml.NVMLError as error:
                if error.value in (nvml.NVML_ERROR_TIMEOUT, nvml.NVML_ERROR_GPU_IS_LOST):
                    return  # nothing more to read; which device is lost is told by its own questions
                raise
            trouble = trouble_of(event.eventData)
            # A device that cannot tell its name any more is in trouble by that alone.
            uuid = Asker(nvml)("UUID", None, nvml.nvmlDeviceGetUUID, event.device)
            if trouble and uuid is not None:
                self._xids[uuid] = (trouble, self._clock())

    def _xid_of(self, uuid: str, *, healthy: bool) -> tuple[str, ...]:
        if uuid not in self._xids:
            return ()
        trouble, since = self._xids[uuid]
        if healthy and self._clock() - since >= QUIET_SECONDS:
            del self._xids[uuid]
            return ()
        return (trouble,)

    def _numa(self, pci: Any) -> int:
        """The NUMA node whose CPUs are near. NVML's own GetNumaNodeId names a GPU's memory where that is a node."""
        if pci is None:
            return -1
        address = f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"
        try:
            return int((self._pci_devices / address / "numa_node").read_text())
        except (OSError, ValueError):
            return -1

    def _handle(self, uuid: str) -> Any:
        return self._nvml.nvmlDeviceGetHandleByUUID(uuid)

    def _switch(self, uuid: str, *, on: bool) -> None:
        """Enter or leave MIG mode. NVML is let go of first: its open device would keep the mode pending."""
        if self._mode(uuid) == on:
            return
        self._stop()
        self._smi(["-i", uuid, "-mig", str(int(on))])
        self._start()
        if self._mode(uuid) != on:
            mode = "off" if on else "on"
            raise CutError(f"{uuid}: MIG mode is still {mode}: another process has the GPU open, or it needs a reset")

    def _mode(self, uuid: str) -> bool:
        handle = self._handle(uuid)
        try:
            now, _ = self._nvml.nvmlDeviceGetMigMode(handle)
        except self._nvml.NVMLError as error:
            if error.value == self._nvml.NVML_ERROR_NOT_SUPPORTED:
                return False
            raise
        return bool(now == self._nvml.NVML_DEVICE_MIG_ENABLE)


def _utilisation(nvml: Any, handle: Any) -> float:
    return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100


def _memory(nvml: Any, handle: Any) -> tuple[int, int, int]:
    """Total, reserved and used bytes."""
    try:
        found = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        found = nvml.nvmlDeviceGetMemoryInfo(handle)
        return found.total, 0, found.used  # drivers before 510 do not tell what they keep
    return found.total, found.reserved, found.used


def _recovery(nvml: Any, handle: Any) -> int:
    """The recovery that the driver wants, 0 for none or when it does not tell (before 565)."""
    (field,) = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    return int(field.value.uiVal) if field.nvmlReturn == nvml.NVML_SUCCESS else 0


def _holders(nvml: Any, handle: Any) -> tuple[int, ...]:
    return tuple(sorted({process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)}))
