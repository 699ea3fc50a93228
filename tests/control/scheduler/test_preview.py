"""What applying a document would do, as its lines say it."""

from __future__ import annotations

import pytest

from control.scheduler.preview import preview
from control.specs.gpu_policy import ConfigMap
from tests.control.scheduler.test_layout import config_map


@pytest.mark.parametrize("enabled", [True, False])
def test_a_layout_without_slices_is_a_whole_device_whatever_it_says_of_mig(enabled: bool) -> None:
    raw = config_map().spec.model_dump(mode="json")
    rule = {"devices": "all", "mig-enabled": enabled, "mig-devices": {}}
    raw["data"] = {"mig-config": {"version": "v1", "mig-configs": {"plain": [rule]}}}
    assert [line.facts for line in preview(ConfigMap.model_validate(raw))] == [("whole GPU, MIG off",)]
