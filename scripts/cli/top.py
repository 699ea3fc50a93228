"""`biplane top`: what every deployment and replica does now, as a table that renews itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from control.client import Client
from control.metrics.rates import DeploymentRow, Figures, rows
from control.metrics.reading import KINDS, Reading, reading_of
from scripts.cli.show import emit, out

WINDOW_SECONDS = 5.0
"""What is shown live is what came in so many seconds: a single second's quantiles jump."""
ONCE_SECONDS = 2.5
"""The least between the two looks of one table: gateways write every second."""


WORDS = 28
"""Columns for what is wrong with a replica; what is longer is folded."""


class Sort(StrEnum):
    """By what deployments are ordered: names upwards, figures downwards."""

    NAME = "name"
    REQUESTS = "requests"
    ERRORS = "errors"
    TOKENS = "tokens"
    TTFT = "ttft"
    ITL = "itl"
    LATENCY = "latency"
    WAITING = "waiting"
    KV = "kv"
    GPU = "gpu"


_KEYS: dict[Sort, Callable[[Figures], float | None]] = {
    Sort.NAME: lambda f: 0.0,
    Sort.REQUESTS: lambda f: f.requests,
    Sort.ERRORS: lambda f: f.errors,
    Sort.TOKENS: lambda f: f.tokens,
    Sort.TTFT: lambda f: f.ttft_p99,
    Sort.ITL: lambda f: f.itl_p99,
    Sort.LATENCY: lambda f: f.latency_p99,
    Sort.WAITING: lambda f: f.waiting,
    Sort.KV: lambda f: f.kv_usage,
    Sort.GPU: lambda f: f.gpu,
}


@dataclass(frozen=True)
class Column:
    """Columns with a higher `rank` are left out first where the terminal is narrow."""

    title: str
    rank: int
    cell: Callable[[Figures, bool], str]


def rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}"


COLUMNS = (
    Column("REQ/S", 0, lambda f, _: rate(f.requests)),
    Column("ERR/S", 2, lambda f, _: rate(f.errors)),
    Column("TOK/S", 0, lambda f, _: rate(f.tokens)),
    Column("TTFT P50", 9, lambda f, _: ms(f.ttft_p50)),
    Column("TTFT P99", 1, lambda f, _: ms(f.ttft_p99)),
    Column("ITL P50", 10, lambda f, _: ms(f.itl_p50)),
    Column("ITL P99", 3, lambda f, _: ms(f.itl_p99)),
    Column("LATENCY P99", 7, lambda f, _: ms(f.latency_p99)),
    Column("RUN/WAIT", 4, lambda f, _: f"{f.running}/{f.waiting}"),
    Column("KV %", 6, lambda f, _: _percent(f.kv_usage)),
    Column("PREFIX %", 8, lambda f, _: _percent(f.prefix_hits)),
    Column("GPU %", 5, lambda f, simulated: "simulated" if simulated and f.gpu is None else _percent(f.gpu)),
)


Watch = Annotated[float, typer.Option(help="Seconds from one look to the next.", min=0.2, metavar="SECONDS")]
Once = Annotated[bool, typer.Option("--once", help="Print one table and end, as where there is no terminal.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def top(
    watch: Watch = 1.0,
    once: Once = False,
    sort: Annotated[Sort, typer.Option(help="By what deployments are ordered.")] = Sort.REQUESTS,
    json: Json = False,
) -> None:
    """What deployments and replicas do now: rates, latencies, queues, caches, GPUs. Example: biplane top --sort itl

    Times are in milliseconds, of what came in the last seconds; ends with Ctrl-C.
    """

    def tell(before: Reading, after: Reading) -> dict[str, object]:
        return {"deployments": [asdict(row) for row in ordered(rows(before, after), sort)]}

    watched(watch, tell, lambda before, after: drawn(ordered(rows(before, after), sort), out.width), once, json)


def watched(
    watch: float,
    tell: Callable[[Reading, Reading], dict[str, object]],
    draw: Callable[[Reading, Reading], RenderableType],
    once: bool,
    json: bool,
) -> None:
    """What came between looks at the plane, every `watch` seconds until Ctrl-C; told or drawn only once where that is
    asked for, and where there is no terminal. Raises NoPlane.
    """
    client = Client()
    if json or once or not out.is_terminal:
        before = _look(client)
        time.sleep(max(watch, ONCE_SECONDS))
        after = _look(client)
        return emit(tell(before, after)) if json else out.print(draw(before, after))
    looks = deque((_look(client),), maxlen=max(2, 1 + round(WINDOW_SECONDS / watch)))
    with Live(Text("looking"), console=out, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(watch)
                looks.append(_look(client))
                live.update(draw(looks[0], looks[-1]), refresh=True)
        except KeyboardInterrupt:
            return None


def ordered(found: Iterable[DeploymentRow], sort: Sort) -> list[DeploymentRow]:
    """By the figure, the highest first; what has none comes last, and equals by name."""
    key = _KEYS[sort]
    return sorted(found, key=lambda row: (-_or_least(key(row.figures)), row.name))


def drawn(found: Iterable[DeploymentRow], width: int) -> RenderableType:
    """The table with as many columns as the width holds."""
    found = list(found)
    if not found:
        return Text("No deployment; make one with: biplane apply -f FILE")
    for most in range(max(column.rank for column in COLUMNS), 0, -1):
        table = _table(found, most)
        if Measurement.get(out, out.options.update(width=10_000), table).maximum <= width:
            return table
    return _table(found, 0)


def _table(found: Iterable[DeploymentRow], most: int) -> Table:
    columns = [column for column in COLUMNS if column.rank <= most]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("DEPLOYMENT")
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    table.add_column("PHASE", overflow="fold", max_width=WORDS)
    for row in found:
        phase = f"{row.phase} {row.serving}/{row.wanted}"
        cells = (column.cell(row.figures, row.simulated) for column in columns)
        table.add_row(f"[bold]{escape(row.name)}[/]", *cells, escape(phase))
        for one in row.replicas:
            name = f"  version {one.version} replica {one.replica}"
            table.add_row(name, *(column.cell(one.figures, one.simulated) for column in columns), escape(one.phase))
    return table


def _or_least(value: float | None) -> float:
    return -1.0 if value is None else value


def _look(client: Client) -> Reading:
    return reading_of(client.store.list(*KINDS), client.store.heartbeats(), time.time())
