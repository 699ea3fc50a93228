"""MIG on real devices: what instances there are, and making and ending them with `nvidia-smi mig`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from actors.devices.driver import CutError
from control.specs.inventory import SlicePlace, SliceReport

Smi = Callable[[Sequence[str]], str]
"""Runs nvidia-smi with these arguments and returns what it prints. Raises CutError."""

SMI_SECONDS = 60.0
"""Leaving or entering MIG mode resets the device on some models, which takes a few seconds."""
_NONE_THERE = "No GPU instances found"
_INSTANCE = re.compile(r"\|\s+\d+\s+MIG (?P<profile>\S+)\s+\d+\s+(?P<id>\d+)\s+(?P<start>\d+):\d+\s+\|")
"""A line of `nvidia-smi mig -lgi`: GPU, name, profile id, instance id, placement as start:size."""


def nvidia_smi(arguments: Sequence[str]) -> str:
    shown = " ".join(("nvidia-smi", *arguments))
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=SMI_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CutError(f"{shown}: {error}") from error
    if done.returncode:
        # It writes what went wrong to either stream.
        said = " ".join((done.stderr + " " + done.stdout).split())
        raise CutError(f"{shown} ended with {done.returncode}: {said}")
    return done.stdout


def slices_of(nvml: Any, handle: Any) -> tuple[SliceReport, ...]:
    """The instances that a process could be given, by their first memory slice. Raises NVMLError."""
    found = []
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_NOT_FOUND:
                continue
            raise
        profile = nvml.nvmlDeviceGetName(instance).rpartition("MIG ")[2]
        found.append(SliceReport(profile, _start(nvml, handle, instance), nvml.nvmlDeviceGetUUID(instance)))
    return tuple(sorted(found, key=lambda one: (one.start, one.uuid)))


def _start(nvml: Any, handle: Any, instance: Any) -> int:
    try:
        number = nvml.nvmlDeviceGetGpuInstanceId(instance)
        start: int = nvml.nvmlGpuInstanceGetInfo(nvml.nvmlDeviceGetGpuInstanceById(handle, number)).placement.start
    except nvml.NVMLError as error:
        if error.value == nvml.NVML_ERROR_NO_PERMISSION:
            return -1
        raise
    return start


def destroy(smi: Smi, device: str, unwanted: Sequence[SliceReport], there: Sequence[SliceReport]) -> None:
    """End the instances of `unwanted`, unless another was made in their place. Raises CutError.

    A crash can leave a GPU instance without its compute instance: no process can be given it, but it takes room.
    """
    usable = {SlicePlace(one.profile, one.start): one.uuid for one in there}
    ids = _instances(smi, device)
    for one in unwanted:
        place = SlicePlace(one.profile, one.start)
        if place not in ids or usable.get(place, one.uuid) != one.uuid:
            continue
        if place in usable:
            smi(["mig", "-i", device, "-gi", ids[place], "-dci"])
        smi(["mig", "-i", device, "-gi", ids[place], "-dgi"])


def create(smi: Smi, device: str, wanted: Sequence[SlicePlace], there: Sequence[SliceReport]) -> None:
    """Make the instances of `wanted` that are not yet `there`; one that a crash left half made is finished.

    Raises CutError.
    """
    usable = {SlicePlace(one.profile, one.start) for one in there}
    ids = _instances(smi, device)
    for place in wanted:
        if place in usable:
            continue
        if place in ids:
            smi(["mig", "-i", device, "-gi", ids[place], "-cci"])
        else:
            smi(["mig", "-i", device, "-cgi", f"{place.profile}:{place.start}", "-C"])


def _instances(smi: Smi, device: str) -> dict[SlicePlace, str]:
    """The ids of the GPU instances by their places."""
    try:
        printed = smi(["mig", "-i", device, "-lgi"])
    except CutError as error:
        if _NONE_THERE in str(error):
            return {}
        raise
    return {SlicePlace(one["profile"], int(one["start"])): one["id"] for one in _INSTANCE.finditer(printed)}
