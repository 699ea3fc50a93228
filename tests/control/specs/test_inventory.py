"""What agent and scheduler tell each other survives the way between them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from control.scheduler.topology import links_for, numa_for
from control.specs.inventory import (
    ClaimReport,
    CutOrder,
    DeviceLoad,
    DeviceReport,
    NodeReport,
    SimulatedNode,
    SlicePlace,
    SliceReport,
)

SLICE = SliceReport("1g.10gb", 0, "MIG-a")


@pytest.mark.parametrize(
    "told",
    [
        NodeReport(
            (
                DeviceReport("GPU-a", "H100", 80, 1, 0, True, (SLICE,), "XID 79", (1, 2)),
                DeviceReport("GPU-b", "H100", 80),
            ),
            (("X", "NV18"), ("NV18", "X")),
            "nvswitch",
            "NVML: Unknown Error",
            12.5,
            (DeviceLoad("GPU-a", None, 3, 80), DeviceLoad("GPU-b", 0.5, None, None)),
        ),
        NodeReport(),
        CutOrder("GPU-a", True, (SLICE,), (SlicePlace("3g.40gb", 4),)),
        ClaimReport("GPU-a", "app.chat", 42, 12.5, shared=True),
        SimulatedNode("sim-0", 2, "H100", 80, "pcie", links_for("pcie", 2), numa_for(2)),
    ],
)
def test_it_comes_back_from_json_as_it_was(told: Any) -> None:
    adapter = TypeAdapter(type(told))
    assert adapter.validate_python(json.loads(json.dumps(adapter.dump_python(told, mode="json")))) == told
