"""How `biplane gateway prices` looks: what each model costs, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from control.gateway.price_list import Priced, Source, listed, price_of
from control.price import MILLION, NANO, Price, show_per_million
from control.specs.gateway import Gateway
from scripts.cli.show import emit, out, table


@dataclass(frozen=True)
class Row:
    """`gateway` is the document that routes to the model, empty for what is only in the list that comes with Biplane;
    `priced` is None where nobody knows a price.
    """

    gateway: str
    provider: str
    model: str
    priced: Priced | None


def prices(gateways: Sequence[Gateway], *, whole: bool, json: bool) -> None:
    """The models of the documents first, each once for each document; with `whole` all of the list after them."""
    rows = [*_routed(gateways), *(_listed() if whole else ())]
    if json:
        return emit({"prices": [_document(row) for row in rows]})
    if not rows:
        out.print("No gateway document routes to a model yet. biplane gateway prices --all shows the list.")
        return None
    table(("GATEWAY", "PROVIDER", "MODEL", "INPUT", "CACHED", "CACHE WRITE", "OUTPUT", "SOURCE"), map(_cells, rows))
    out.print("\nUS dollars per million tokens.", style="dim")
    return None


def _routed(gateways: Iterable[Gateway]) -> Iterator[Row]:
    for gateway in gateways:
        places = [(backend.provider, backend.model) for route in gateway.routes for backend in route.backends]
        for provider, model in dict.fromkeys(places):
            yield Row(gateway.name, provider, model, price_of(provider, model, gateway.prices))


def _listed() -> Iterator[Row]:
    for one in listed().values():
        yield Row("", one.provider, one.model, Priced(one.price, Source.LIST))


def _cells(row: Row) -> tuple[str, ...]:
    shown = ["-" if nano is None else show_per_million(nano) for nano in _parts(row).values()]
    return row.gateway or "-", row.provider, row.model, *shown, row.priced.source.value if row.priced else "unknown"


def _document(row: Row) -> dict[str, object]:
    """Prices in dollars per million tokens, null where nobody knows them."""
    return {
        "gateway": row.gateway or None,
        "provider": row.provider,
        "model": row.model,
        **{part: None if nano is None else nano * MILLION / NANO for part, nano in _parts(row).items()},
        "source": row.priced.source.value if row.priced else None,
    }


def _parts(row: Row) -> dict[str, int | None]:
    """By what it is for: nano-dollars per token."""
    return {part.name: getattr(row.priced.price, part.name) if row.priced else None for part in fields(Price)}
