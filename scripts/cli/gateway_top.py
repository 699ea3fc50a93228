"""`biplane gateway top`: what every route and backend does now, as a table that renews itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from control.metrics.reading import Reading
from control.metrics.route_rates import RouteFigures, RouteRow, route_rows
from scripts.cli.top import WORDS, ms, rate

COLUMNS = ("REQ/S", "ERR/S", "TOK/S", "$/H", "FIRST P50", "FIRST P99", "P50", "P99")
HERE = "(served here)"


def told(before: Reading, after: Reading) -> dict[str, object]:
    """For programs."""
    return {"routes": [asdict(row) for row in route_rows(before, after)]}


def drawn(before: Reading, after: Reading) -> RenderableType:
    found = route_rows(before, after)
    return _table(found) if found else Text("No route; make one with: biplane apply -f FILE")


def _table(found: Iterable[RouteRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ROUTE", overflow="fold")
    for title in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("BACKEND IS", overflow="fold", max_width=2 * WORDS)
    for row in found:
        table.add_row(f"[bold]{escape(row.route) or HERE}[/]", *_cells(row.figures), "")
        for one in row.backends:
            state = f"{one.state}: {one.why}" if one.why else one.state
            table.add_row(f"  {escape(one.backend)}", *_cells(one.figures), escape(state))
    return table


def _cells(figures: RouteFigures) -> tuple[str, ...]:
    times = figures.first_p50, figures.first_p99, figures.p50, figures.p99
    return (
        rate(figures.requests),
        rate(figures.errors),
        rate(figures.tokens),
        f"{figures.dollars:.2f}",
        *map(ms, times),
    )
