"""How busy devices are is written down once for each report of a node that measures them."""

from __future__ import annotations

from control.device_load import BEAT_PREFIX, parse
from control.kernel.present import NodeView
from control.kernel.store import Store
from control.scheduler.device_beats import DeviceBeats
from control.specs.inventory import DeviceLoad, DeviceReport, NodeReport


def view(report: NodeReport | None, node_id: str = "a" * 8) -> NodeView:
    return NodeView(node_id, {}, {}, report=report)


def test_each_report_of_a_measured_node_is_written_down_once() -> None:
    store = Store("sqlite://")
    load = DeviceLoad("GPU-1", 0.5, None, 80)
    beats = DeviceBeats()
    first = NodeReport((DeviceReport("GPU-1", "H100", 80),), at=1.0, loads=(load,))
    unmeasured = view(NodeReport((DeviceReport("SIM-1", "H100", 80),), at=1.0), "b" * 8)
    beats.tell(store, [view(first), unmeasured, view(None, "c" * 8)], now=10.0)
    beats.tell(store, [view(first)], now=11.0)
    (beat,) = store.heartbeats(BEAT_PREFIX)
    assert (beat.actor, beat.at, parse(beat.body)) == (f"devices:{'a' * 8}", 10.0, (load,))
    beats.tell(store, [view(NodeReport(first.devices, at=2.0, loads=(load,)))], now=12.0)
    assert [beat.at for beat in store.heartbeats(BEAT_PREFIX)] == [12.0]
