"""How real devices are joined, in the words of `nvidia-smi topo -m`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from actors.devices.ask import Asker

_SWITCH = "switch"


def links_between(nvml: Any, handles: Sequence[Any]) -> tuple[tuple[tuple[str, ...], ...], str]:
    """The matrix of links and its sum: nvswitch, nvlink or pcie. A handle is None for a device that is lost.

    Devices behind NVSwitches have as many NVLinks between them as the one with fewer has. What NVML cannot say counts
    as the slowest way.
    """
    ends = [Counter[str]() if handle is None else _ends(nvml, handle) for handle in handles]
    buses = ["" if handle is None else _bus(nvml, handle) for handle in handles]
    size = len(handles)
    cells = [["X"] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1, size):
            lanes = ends[i][buses[j]] or min(ends[i][_SWITCH], ends[j][_SWITCH])
            cells[i][j] = cells[j][i] = f"NV{lanes}" if lanes else _over_pcie(nvml, handles[i], handles[j])
    switched = any(end[_SWITCH] for end in ends)
    meshed = any(text.startswith("NV") for row in cells for text in row)
    return tuple(map(tuple, cells)), "nvswitch" if switched else "nvlink" if meshed else "pcie"


def _ends(nvml: Any, handle: Any) -> Counter[str]:
    """How many active NVLinks lead from a device to a switch, and to each other device by PCI bus id."""
    ask, ends = Asker(nvml), Counter[str]()
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        # Numbers beyond the last link of a model are an invalid argument: not a link.
        if not ask("NVLink", 0, nvml.nvmlDeviceGetNvLinkState, handle, link):
            continue
        match ask("NVLink", None, nvml.nvmlDeviceGetNvLinkRemoteDeviceType, handle, link):
            case nvml.NVML_NVLINK_DEVICE_TYPE_SWITCH:
                ends[_SWITCH] += 1
            case nvml.NVML_NVLINK_DEVICE_TYPE_GPU:
                remote = ask("NVLink", None, nvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link)
                ends[_text(remote)] += 1
    return ends


def _bus(nvml: Any, handle: Any) -> str:
    return _text(Asker(nvml)("PCI address", None, nvml.nvmlDeviceGetPciInfo, handle))


def _text(pci: Any) -> str:
    return "" if pci is None else str(pci.busId).lower()


def _over_pcie(nvml: Any, one: Any, other: Any) -> str:
    if one is None or other is None:
        return "SYS"
    level = Asker(nvml)("PCIe", nvml.NVML_TOPOLOGY_SYSTEM, nvml.nvmlDeviceGetTopologyCommonAncestor, one, other)
    return {
        nvml.NVML_TOPOLOGY_INTERNAL: "PIX",
        nvml.NVML_TOPOLOGY_SINGLE: "PIX",
        nvml.NVML_TOPOLOGY_MULTIPLE: "PXB",
        nvml.NVML_TOPOLOGY_HOSTBRIDGE: "PHB",
        nvml.NVML_TOPOLOGY_NODE: "NODE",
    }.get(level, "SYS")
