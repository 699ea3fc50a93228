"""How busy the devices are, from the agents' reports into the store. A crash costs nothing: agents are asked again."""

from __future__ import annotations

from collections.abc import Iterable

from control.device_load import BEAT_PREFIX, document
from control.kernel.present import NodeView
from control.kernel.store import Store


class DeviceBeats:
    """Writes each report of an agent down once; remembers which were."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def tell(self, store: Store, nodes: Iterable[NodeView], now: float) -> None:
        reports = {node.node_id: node.report for node in nodes if node.report is not None and node.report.loads}
        for node_id, report in reports.items():
            if self._told.get(node_id) != report.at:
                store.beat(BEAT_PREFIX + node_id, document(report.loads), now=now)
        self._told = {node_id: report.at for node_id, report in reports.items()}
