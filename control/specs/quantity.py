"""Amounts as people write them: bytes ("128Gi", 1024), CPUs ("500m", 2), devices (4, "4"), times ("1h30m", 90)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from control.specs.problem import refuse, show

_BINARY = {f"{prefix}{tail}": 1024**power for power, prefix in enumerate("KMGTPE", 1) for tail in ("i", "iB")}
_DECIMAL = {f"{prefix}{tail}": 1000**power for power, prefix in enumerate("KMGTPE", 1) for tail in ("", "B")}
_UNITS = {"": 1, "B": 1, "k": 1000, "kB": 1000} | _BINARY | _DECIMAL
_AMOUNT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]*)")
_LARGEST = 2**63 - 1
MOST = 1_000_000
"""Of devices, cores, replicas: what is counted in thousandths stays far from where machine integers end."""
_TIMES = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TIME = re.compile(r"".join(rf"(?:([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?) ?{unit})? ?" for unit in _TIMES))


def parse_bytes(value: object) -> int:
    """Whole bytes out of an int or of text with a binary (Ki, Mi, Gi ...) or decimal (k, M, G, GB ...) unit.

    Raises PydanticCustomError (a ValueError) for anything else, and for what is not a whole number of bytes.
    """
    expected = "an amount of bytes such as 128Gi, 512Mi, 80GB or a whole number"
    if isinstance(value, int) and not isinstance(value, bool):
        amount = Decimal(value)
    elif isinstance(value, str) and (match := _AMOUNT.fullmatch(value.strip())) and match[2] in _UNITS:
        amount = Decimal(match[1]) * _UNITS[match[2]]
    else:
        raise refuse(f"found {show(value)}", expected)
    if amount != int(amount) or not 0 <= amount <= _LARGEST:
        raise refuse(f"found {show(value)}", expected)
    return int(amount)


def show_bytes(amount: int) -> str:
    """The shortest exact way to write `amount` bytes: "128Gi", "80G", "1000001"."""
    exact = [
        (amount // size, unit)
        for unit, size in _UNITS.items()
        if not unit.endswith("B") and amount and amount % size == 0
    ]
    count, unit = min(exact, default=(amount, ""), key=lambda pair: (len(str(pair[0])), len(pair[1])))
    return f"{count}{unit}"


def _parse_cpus(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(m?)", value)):
        return float(match[1]) / (1000 if match[2] else 1)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise refuse(f"found {show(value)}", "a number of CPUs such as 2, 0.5 or 500m")


def _parse_count(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise refuse(f"found {show(value)}", "a whole number of devices")


def _parse_seconds(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip() and (match := _TIME.fullmatch(value.strip())):
        return sum(float(amount) * size for amount, size in zip(match.groups(), _TIMES.values(), strict=True) if amount)
    raise refuse(f"found {show(value)}", "a time such as 2h, 1h30m, 90s, 500ms or a number of seconds")


def show_seconds(seconds: float) -> str:
    """As short as it is exact: "1h30m", "90s", "0.5s"."""
    if seconds < 120 or seconds % 60:
        return f"{seconds:g}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes}m" if hours and minutes else f"{hours}h" if hours else f"{minutes}m"


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Cpus = Annotated[float, BeforeValidator(_parse_cpus), Field(ge=0, le=MOST)]
Count = Annotated[int, BeforeValidator(_parse_count), Field(ge=0, le=MOST)]
Seconds = Annotated[float, BeforeValidator(_parse_seconds), Field(ge=0)]
