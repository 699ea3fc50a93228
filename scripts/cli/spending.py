"""How `biplane gateway usage` and `budgets` look."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from control.accounts import Counts, Window
from control.gateway.budgets import Budget
from control.gateway.usage import By
from control.price import NANO, show_dollars
from scripts.cli.show import emit, out, table


def usage(found: Sequence[tuple[str, Counts]], by: By, *, json: bool) -> None:
    """`found` by name, with a line for all of it."""
    total = Counts(*(sum(column) for column in zip(*(counts for _, counts in found), strict=True)))
    if json:
        rows = [{by.value: name, **_document(counts)} for name, counts in found]
        return emit({"by": by.value, "usage": rows, "total": _document(total)})
    if not found:
        out.print("Nothing was used in this time.")
        return None
    return table(
        (by.value.upper(), "REQUESTS", "ERRORS", "HITS", "PROMPT", "CACHED", "COMPLETION", "COST", "SAVED"),
        ((name or "-", *_cells(counts)) for name, counts in (*found, ("all", total))),
    )


def budgets(found: Iterable[Budget], now: float, *, json: bool) -> None:
    """`now` in seconds since 1970."""
    found = tuple(found)
    if json:
        return emit({"budgets": [_facts(one) for one in found]})
    if not found:
        out.print("No limit or budget is set that is used. See: docs/gateway.md")
        return None
    return table(
        ("WHOSE", "GATEWAY", "WHAT", "CAPACITY", "SPENT", "RESERVED", "LEFT", "FULL AGAIN"),
        (
            (
                str(one.whose),
                one.gateway or "-",
                one.unit,
                *(one.shown(units) for units in (one.account.capacity, one.spent, one.reserved, one.left)),
                _when(one, now),
            )
            for one in found
        ),
    )


def _document(counts: Counts) -> dict[str, float]:
    """Tokens, and dollars."""
    return {**counts._asdict(), "cost": counts.cost / NANO, "saved": counts.saved / NANO}


def _cells(counts: Counts) -> tuple[str, ...]:
    return tuple(
        show_dollars(count) if name in ("cost", "saved") else str(count) for name, count in counts._asdict().items()
    )


def _facts(one: Budget) -> dict[str, object]:
    account, unit = one.account, NANO if one.account.what == "cost" else 1
    return {
        "whose": str(one.whose),
        "gateway": one.gateway or None,
        "what": account.what,
        "per": one.unit.partition("/")[2],
        "capacity": account.capacity / unit,
        "spent": one.spent / unit,
        "reserved": one.reserved / unit,
        "left": one.left / unit,
        "full_at": one.full_at,
    }


def _when(one: Budget, now: float) -> str:
    if one.full_at <= now:
        return "now"
    if one.account.window is Window.DAY:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.full_at))
    return f"in {one.full_at - now:.0f} s"
