"""Why nothing fits, node by node. Pure."""

from __future__ import annotations

from collections import Counter

from control.scheduler.ask import ask_of
from control.scheduler.state import Span, Workload
from control.scheduler.stock import Stock

FEW = 4
"""So many nodes are named one by one; of more the reasons are counted."""


def refusals(workload: Workload, stock: Stock) -> dict[str, str]:
    """For each node the first rule that fails for one part of the workload (empty: it fits)."""
    ask = ask_of(workload, _part(workload))
    return {node.name: stock.board.refusal(index, ask) for index, node in enumerate(stock.board.nodes)}


def why_not(workload: Workload, stock: Stock) -> str:
    """One sentence for `biplane explain` and the store."""
    if not stock.board.nodes:
        return "no node has joined yet"
    reasons = {node: reason for node, reason in refusals(workload, stock).items() if reason}
    if not reasons or workload.span is not Span.NODE:
        free = int(stock.board.idle.sum())
        together = f"the cluster has {free} devices free, {workload.devices} are asked for together"
        if not reasons:
            return f"each part would fit, not all together: {together}"
        if len(reasons) > FEW:
            return together
    if len(reasons) <= FEW:
        return "; ".join(reasons[name] for name in sorted(reasons))
    kinds = Counter(reason.partition(" ")[2] for reason in reasons.values())
    return "; ".join(
        f"{count} nodes: {kind}" for kind, count in sorted(kinds.items(), key=lambda k: (-k[1], k[0]))[:FEW]
    )


def _part(workload: Workload) -> int:
    """The devices of the smallest part that has to be on one node."""
    if workload.replicas > 1:
        return workload.devices // workload.replicas
    return workload.least or workload.devices
