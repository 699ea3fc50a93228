"""Why nothing fits, node by node, and why nobody looks for a place yet. Pure."""

from __future__ import annotations

from control.scheduler.ask import FEW, ask_of, counted
from control.scheduler.slicing import slice_refusals, sufficient_slices
from control.scheduler.state import WHOLE, Kind, Rules, Span, Workload
from control.scheduler.stock import Stock

MAX_BINDS = 5
REST_SECONDS = 5.0
"""A workload that Ray did not place rests twice this long, then four times, and so on."""


def turned_away(workload: Workload, rules: Rules, now: float) -> str:
    """Why no place is looked for, whatever is free; empty when one is."""
    if workload.priority_class not in rules.priorities:
        known = ", ".join(sorted(rules.priorities))
        return f"there is no priority class {workload.priority_class!r}; there are: {known}"
    if workload.failed_binds >= MAX_BINDS:
        return f"Ray could not place it {workload.failed_binds} times; apply it again once the nodes are in order"
    if workload.failed_binds and now < workload.waiting_since + REST_SECONDS * 2**workload.failed_binds:
        return f"Ray could not place it ({workload.failed_binds} times so far); it rests before the next try"
    shares = workload.milli < WHOLE and not workload.slice
    if shares and workload.kind is not Kind.INFERENCE and not rules.sharing.training:
        return "shares of a device are for inference: other work needs whole devices"
    return ""


def refusals(workload: Workload, stock: Stock) -> dict[str, str]:
    """For each node the first rule that fails for one part of the workload (empty: it fits).

    Where slices would do as well as whole devices, both rules.
    """
    ask = ask_of(workload, _part(workload))
    ways = [slice_refusals(workload, profile, stock) for profile in sufficient_slices(workload)]
    if not workload.slice:
        ways.append({node.name: stock.board.refusal(index, ask) for index, node in enumerate(stock.board.nodes)})
    found = {node.name: list(dict.fromkeys(way[node.name] for way in ways)) for node in stock.board.nodes}
    return {node: "; ".join(rules) if all(rules) else "" for node, rules in found.items()}


def why_not(workload: Workload, stock: Stock) -> str:
    """One sentence for `biplane explain` and the store."""
    if not stock.board.nodes:
        return "no node has joined yet"
    reasons = {node: reason for node, reason in refusals(workload, stock).items() if reason}
    if workload.slice:
        if not reasons:
            return f"a {workload.slice} slice is free, not {workload.replicas} of them together"
    elif not reasons or workload.span is not Span.NODE:
        free = int(stock.board.idle.sum())
        together = f"the cluster has {free} devices free, {workload.devices} are asked for together"
        if not reasons:
            return f"each part would fit, not all together: {together}"
        if len(reasons) > FEW:
            return together
    return "; ".join(counted(reasons)[:FEW])


def _part(workload: Workload) -> int:
    """The devices of the smallest part that has to be on one node."""
    if workload.replicas > 1:
        return workload.devices // workload.replicas
    return workload.least or workload.devices
