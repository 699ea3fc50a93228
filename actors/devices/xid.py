"""What NVIDIA's XID numbers mean for a device: an application's fault, or the device's.

After the catalog of NVIDIA's "XID errors" (docs.nvidia.com/deploy/xid-errors): an error whose immediate action there is
RESTART_APP or IGNORE says nothing against the device. Everything else does, and so does an error that is not listed.
"""

from __future__ import annotations

_OF_APPLICATIONS = frozenset(
    {8, 11, 13, 14, 25, 31, 32, *range(37, 46), 60, 63, *range(66, 73), *range(75, 78), 80, *range(82, 87), 88, 89}
    | {*range(92, 95), *range(96, 109), 121, *range(126, 136), 137, 139, 141, 152, 153, 157, *range(160, 166)}
)
_ANSWERED_BY_NVML = frozenset({154})
"""The driver wants another recovery than before: NVML says which one."""

_NAMES = {
    46: "the GPU stopped answering",
    48: "double-bit ECC error",
    62: "the power management unit halted",
    64: "a bad memory row could not be remapped",
    74: "NVLink error",
    79: "GPU has fallen off the bus",
    95: "uncontained memory error",
    109: "a context switch timed out",
    110: "security fault",
    119: "the GPU's firmware does not answer",
    120: "error in the GPU's firmware",
    136: "NVLink could not be trained",
    140: "unrecovered ECC error",
    143: "the GPU could not be initialized",
    **dict.fromkeys(range(144, 151), "NVLink error"),
    155: "NVLink error",
    156: "a part of the GPU was retired",
    158: "the GPU timed out for good",
    171: "uncorrectable DRAM error",
    172: "uncorrectable SRAM error",
}


def trouble_of(xid: int) -> str:
    """What the error says against the device, for people; empty when it says nothing."""
    if xid in _OF_APPLICATIONS | _ANSWERED_BY_NVML:
        return ""
    return f"XID {xid}: {_NAMES.get(xid, 'see the catalog of XID errors of NVIDIA')}"
