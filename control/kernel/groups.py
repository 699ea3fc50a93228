"""The placement groups by which Ray holds what a workload was given, and gives it to nobody else.

They are detached and named after the workload and its lease: they outlive every process of the plane and are found
again, those that no lease asks for any more too. Part of the one door to Ray (`drive`); nothing here decides.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray._private.state import state
from ray._raylet import PlacementGroupID
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.util.placement_group import PlacementGroup, get_placement_group, placement_group, remove_placement_group

from control.kernel.ids import NAMESPACE
from control.kernel.plan import EndGroup, EnsureGroup

GROUP_PREFIX = "workload:"
LOOK_SECONDS = 60.0
"""How often all groups of Ray are gone through. In between what this process made, ended and waits for is enough."""
_LOOK_SHARE = 0.005
"""No more of the time than this is spent on it: Ray keeps every group that it removed in its table, for ever."""
RELEASE_SECONDS = 0.3
"""Ray knows of what a removed group gives back within this time. A group that does not fit at once is only tried again
a second later, so that it is worth waiting for."""
_PAUSE_SECONDS = 0.002


@dataclass(frozen=True)
class _Waiting:
    """A group that is not placed yet, and the reference that is ready when it is."""

    group: str
    ready: Any


class Groups:
    """The groups of workloads. What it remembers is only a shorter way to what Ray's table says."""

    def __init__(self) -> None:
        self._placed: dict[str, bool] = {}
        self._waiting: dict[PlacementGroupID, _Waiting] = {}
        self._look_at = 0.0
        self._released = -RELEASE_SECONDS

    def seen(self) -> Mapping[str, bool]:
        """By name; True for those that are placed. A lost node is only noticed after `look_again`."""
        began = time.monotonic()
        if began >= self._look_at:
            self._look()
            took = time.monotonic() - began
            self._look_at = began + max(LOOK_SECONDS, took / _LOOK_SHARE)
        else:
            for group_id in self._done():
                self._placed[self._waiting.pop(group_id).group] = True
        return dict(self._placed)

    def look_again(self) -> None:
        """Go through Ray's table the next time: nodes came or went, and with them groups may have."""
        self._look_at = 0.0

    def ensure(self, effect: EnsureGroup) -> None:
        if effect.group in self._placed:
            return
        nodes = [node_id for node_id, _ in effect.bundles]
        bundles = [dict(resources) for _, resources in effect.bundles]
        self._wait_for_room(nodes, bundles)
        name = f"{GROUP_PREFIX}{effect.group}"
        try:
            group = placement_group(
                bundles,
                name=name,
                lifetime="detached",
                bundle_label_selector=[{"ray.io/node-id": node_id} for node_id in nodes],
            )
        except ray.exceptions.RaySystemError:
            # Another life of this control actor was faster: the name is taken, which is what was wanted.
            if _find(name) is None:
                raise
            self.look_again()
        else:
            self._await(effect.group, group, {})

    def end(self, effect: EndGroup) -> None:
        group = _find(f"{GROUP_PREFIX}{effect.group}")
        if group is not None:
            remove_placement_group(group)
            self._released = time.monotonic()
        self._placed.pop(effect.group, None)
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if waiting.group != effect.group}

    def _look(self) -> None:
        done = self._done()
        asked = {group_id: waiting for group_id, waiting in self._waiting.items() if group_id not in done}
        self._placed, self._waiting = {}, {}
        for raw in state._connect_and_get_accessor().get_placement_group_table():
            found = PlacementGroupTableData.FromString(raw)
            if found.state == PlacementGroupTableData.REMOVED or found.ray_namespace != NAMESPACE:
                continue
            if not found.name.startswith(GROUP_PREFIX):
                continue
            name = found.name.removeprefix(GROUP_PREFIX)
            if found.state == PlacementGroupTableData.CREATED:
                self._placed[name] = True
            else:
                self._await(name, PlacementGroup(PlacementGroupID(found.placement_group_id)), asked)

    def _await(self, name: str, group: PlacementGroup, asked: Mapping[PlacementGroupID, _Waiting]) -> None:
        """To ask whether it is ready starts a task that waits in Ray for the group: once is enough for each."""
        self._placed[name] = False
        self._waiting[group.id] = asked.get(group.id) or _Waiting(name, group.ready())

    def _done(self) -> list[PlacementGroupID]:
        """Those of the groups waited for that have become ready since."""
        by_reference = {waiting.ready: group_id for group_id, waiting in self._waiting.items()}
        if not by_reference:
            return []
        done, _ = ray.wait(list(by_reference), num_returns=len(by_reference), timeout=0, fetch_local=False)
        return [by_reference[ready] for ready in done]

    def _wait_for_room(self, nodes: list[str], bundles: list[dict[str, float]]) -> None:
        """Until the nodes show enough free, and only while a group that was just removed may still hold it."""
        while time.monotonic() - self._released < RELEASE_SECONDS:
            free = state.available_resources_per_node()
            for node_id, bundle in zip(nodes, bundles, strict=True):
                for resource, amount in bundle.items():
                    left = free.setdefault(node_id, {})
                    left[resource] = left.get(resource, 0.0) - amount
            if all(free[node_id][r] >= -1e-6 for node_id, bundle in zip(nodes, bundles, strict=True) for r in bundle):
                return
            time.sleep(_PAUSE_SECONDS)


def _find(name: str) -> PlacementGroup | None:
    try:
        return get_placement_group(name)
    except ValueError:
        return None
