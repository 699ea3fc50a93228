"""Values of metadata fields as people write them in JSON, in rows and filters alike. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from control.specs.collection import FieldType
from control.specs.vector_filter import Value

EXPECTED: dict[FieldType, str] = {
    "keyword": "text",
    "integer": "a whole number of 64 bits",
    "float": "a number",
    "boolean": "true or false",
    "datetime": "an instant such as 2026-11-28T09:30:00Z, or seconds since 1970",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999 in microseconds of UTC since 1970: what datetimes of Python hold."""
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def typed(kind: FieldType, written: object) -> Value | None:
    """The value in the field's type, or None where it is none of that type: nothing is converted but a whole number
    written as 2.0, and instants into microseconds of UTC since 1970, of which parts are cut off.
    """
    number = written if isinstance(written, int | float) and not isinstance(written, bool) else None
    match kind:
        case "keyword" if isinstance(written, str):
            return written
        case "boolean" if isinstance(written, bool):
            return written
        case "integer" if number is not None and number % 1 == 0 and -(2**63) <= number < 2**63:
            return int(number)
        case "float" if number is not None and abs(number) < 2**1024 and math.isfinite(number):
            return float(number)
        case "datetime":
            return _microseconds(number if number is not None else written)
        case _:
            return None


def _microseconds(written: object) -> int | None:
    """None for what is no instant of the years 1 to 9999."""
    try:
        if isinstance(written, str) and _RFC_3339.fullmatch(written.upper()):
            found = datetime.fromisoformat(written.upper()) - _EPOCH
        elif isinstance(written, int | float):
            found = timedelta(seconds=written)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    microseconds = found // timedelta(microseconds=1)
    return microseconds if EARLIEST <= microseconds <= LATEST else None
