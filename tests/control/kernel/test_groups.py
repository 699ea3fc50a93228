"""What is remembered of Ray's placement groups between two looks at its table. The door itself: tests/e2e."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import ray as ray_package
from ray._raylet import PlacementGroupID
from ray.core.generated.gcs_pb2 import PlacementGroupTableData

from control.kernel import groups as module
from control.kernel.groups import GROUP_PREFIX, Groups
from control.kernel.ids import NAMESPACE

PENDING, CREATED = PlacementGroupTableData.PENDING, PlacementGroupTableData.CREATED
GROUP = "w:0a1b2c3d"


@dataclass
class Ray:
    """The table of placement groups, and every question whether one is ready: a task in Ray that waits for it."""

    table: dict[PlacementGroupID, int] = field(default_factory=dict)
    asked: list[PlacementGroupID] = field(default_factory=list)

    def _connect_and_get_accessor(self) -> Ray:
        return self

    def get_placement_group_table(self) -> list[bytes]:
        return [
            PlacementGroupTableData(
                placement_group_id=group.binary(), name=f"{GROUP_PREFIX}{GROUP}", state=state, ray_namespace=NAMESPACE
            ).SerializeToString()
            for group, state in self.table.items()
        ]

    def wait(self, references: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        done = [one for one in references if self.table[self.asked[one]] == CREATED]
        return done, [one for one in references if one not in done]

    def ask(self, group: PlacementGroupID) -> int:
        self.asked.append(group)
        return len(self.asked) - 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()

    class Group:
        def __init__(self, group_id: PlacementGroupID) -> None:
            self.id = group_id

        def ready(self) -> int:
            return ray.ask(self.id)

    monkeypatch.setattr(module, "state", ray)
    monkeypatch.setattr(module, "PlacementGroup", Group)
    monkeypatch.setattr(ray_package, "wait", ray.wait)
    return ray


def test_a_group_that_is_not_placed_is_asked_for_once_however_often_the_table_is_gone_through(ray: Ray) -> None:
    group, groups = PlacementGroupID.from_random(), Groups()
    ray.table[group] = PENDING
    for _ in range(5):
        assert groups.seen() == {GROUP: False}
        groups.look_again()
    assert ray.asked == [group]
    groups.seen()
    ray.table[group] = CREATED
    assert groups.seen() == {GROUP: True}, "without another look"
    assert ray.asked == [group]


def test_a_group_that_lost_its_place_is_asked_for_anew(ray: Ray) -> None:
    """What was asked before has been answered already, for its former place."""
    group, groups = PlacementGroupID.from_random(), Groups()
    ray.table[group] = PENDING
    groups.seen()
    ray.table[group] = CREATED
    assert groups.seen() == {GROUP: True}
    ray.table[group] = PENDING
    groups.look_again()
    assert groups.seen() == {GROUP: False}
    assert ray.asked == [group, group]


def test_a_group_that_is_gone_from_the_table_is_forgotten(ray: Ray) -> None:
    group, groups = PlacementGroupID.from_random(), Groups()
    ray.table[group] = PENDING
    groups.seen()
    del ray.table[group]
    groups.look_again()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_package, "wait", lambda references, **_: ([], references))
        assert groups.seen() == {}
    assert groups.seen() == {}
