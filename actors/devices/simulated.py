"""Devices that are declared, not real: the same reports and cuts, kept in files.

How the devices are cut is in one JSON file, replaced in one rename: a restarted driver finds the devices as they were,
and a crash in a cut leaves the old layout or the new one.

A person or a test makes a device fail by writing a file next to it, `<name>.trouble.json` beside `<name>.json`:

    {"trouble": {"SIM-sim-0-3": "XID 79: GPU has fallen off the bus"}}

and heals it by taking the line out or removing the file.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from actors.devices.driver import CutError
from control.specs.inventory import (
    SIMULATED_PREFIX,
    CutOrder,
    DeviceReport,
    NodeReport,
    SimulatedNode,
    SlicePlace,
    SliceReport,
)
from control.specs.problem import nearest

GIB = 1 << 30
_PROFILE = re.compile(r"\dg\.(\d+)gb(?:[+-][a-z.]+)?")
_MEMORY_SLICES = {"A30": 4}
"""Where a GPU model is not cut into eight memory slices."""


@dataclass(frozen=True)
class _Troubles:
    """What somebody wrote down for the devices, by UUID."""

    trouble: dict[str, str]


_Layout = dict[str, tuple[SlicePlace, ...]]
"""The slices of each device in MIG mode."""
_layouts = TypeAdapter(_Layout)
_troubles = TypeAdapter(_Troubles)
_nodes = TypeAdapter(SimulatedNode)


class SimulatedDriver:
    """The declared devices of `node`, whose layout is in the JSON file at `path`."""

    def __init__(self, path: str, node: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self._node = _nodes.validate_python(dict(node))
        self._uuids = tuple(f"{SIMULATED_PREFIX}{self._node.name}-{index}" for index in range(self._node.gpus))
        self._trouble_file = self._path.with_suffix(".trouble.json")
        self._last = NodeReport()

    def report(self) -> NodeReport:
        try:
            layout, troubles = self._read(), self._read_troubles()
        except (OSError, ValidationError) as error:
            return replace(self._last, error=f"the files of {self._node.name} cannot be read: {error}")
        unknown = ", ".join(sorted(troubles.keys() - set(self._uuids)))
        self._last = NodeReport(
            devices=tuple(
                self._device(index, uuid, layout, troubles.get(uuid, "")) for index, uuid in enumerate(self._uuids)
            ),
            links=self._node.links,
            interconnect=self._node.interconnect,
            error=f"{self._trouble_file}: {self._node.name} has no device {unknown}" if unknown else "",
            at=time.time(),
        )
        return self._last

    def cut(self, order: CutOrder) -> None:
        if order.device not in self._uuids:
            close = nearest(order.device, self._uuids)
            raise CutError(
                f"{self._node.name} has no device {order.device!r}" + (f"; did you mean {close!r}?" if close else "")
            )
        try:
            layout = self._read()
            places = self._places(order, layout.get(order.device, ()))
            if order.mig:
                self._write({**layout, order.device: places})
            else:
                self._write({uuid: slices for uuid, slices in layout.items() if uuid != order.device})
        except (OSError, ValidationError) as error:
            raise CutError(f"the files of {self._node.name} cannot be read or written: {error}") from error

    def _places(self, order: CutOrder, now: tuple[SlicePlace, ...]) -> tuple[SlicePlace, ...]:
        """The slices after the cut. Raises CutError."""
        gone = {SlicePlace(one.profile, one.start) for one in order.destroy}
        places = [place for place in now if place not in gone]
        if not order.mig and (places or order.create):
            left = ", ".join(f"{place.profile} at {place.start}" for place in (*places, *order.create))
            raise CutError(f"{order.device} cannot leave MIG mode with slices on it: {left}")
        for place in order.create:
            if place not in places:
                self._check(order.device, place, places)
                places.append(place)
        return tuple(sorted(places, key=lambda place: place.start))

    def _device(self, index: int, uuid: str, layout: _Layout, trouble: str) -> DeviceReport:
        return DeviceReport(
            uuid=uuid,
            model=self._node.model,
            memory=self._node.memory,
            reserved=self._node.reserved,
            numa=self._node.numa[index],
            mig=uuid in layout,
            slices=tuple(
                SliceReport(
                    place.profile,
                    place.start,
                    f"{SIMULATED_PREFIX}MIG-{self._node.name}-{index}-{place.profile}-{place.start}",
                )
                for place in layout.get(uuid, ())
            ),
            trouble=trouble,
        )

    def _check(self, device: str, place: SlicePlace, places: list[SlicePlace]) -> None:
        """Refuse what hardware has no room for; which starts a profile may have is the scheduler's to know."""
        first, end = self._extent(device, place)
        for other in places:
            other_first, other_end = self._extent(device, other)
            if first < other_end and other_first < end:
                raise CutError(
                    f"{device} has no room for {place.profile} at {place.start}:"
                    f" {other.profile} at {other.start} is there"
                )

    def _extent(self, device: str, place: SlicePlace) -> tuple[int, int]:
        """The memory slices [first, end) that a profile takes: its gigabytes in units of one slice's memory."""
        profile = _PROFILE.fullmatch(place.profile)
        if profile is None:
            raise CutError(f"found a MIG profile {place.profile!r}; expected one like 1g.10gb or 1g.10gb+me")
        slices = next((count for model, count in _MEMORY_SLICES.items() if model in self._node.model), 8)
        span = max(1, round(int(profile[1]) * GIB * slices / self._node.memory))
        if not 0 <= place.start <= slices - span:
            raise CutError(
                f"{device} has {slices} memory slices, {place.profile} takes {span};"
                f" found start {place.start}, expected 0 to {slices - span}"
            )
        return place.start, place.start + span

    def _read(self) -> _Layout:
        try:
            return _layouts.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}

    def _read_troubles(self) -> Mapping[str, str]:
        try:
            return _troubles.validate_json(self._trouble_file.read_bytes()).trouble
        except FileNotFoundError:
            return {}

    def _write(self, layout: _Layout) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump(_layouts.dump_python(layout, mode="json"), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
