"""What tokens cost: exact sums in nano-dollars, and the ways to and from the dollars that people read and write. Pure.

A nano-dollar is 1e-9 US dollars. A price of $0.15 per million tokens is 150 nano-dollars per token, so that prices
and sums of them are whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

NANO = 10**9
"""Nano-dollars of a dollar."""
MILLION = 10**6
"""Tokens that prices are written for."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of one model, in nano-dollars per token: what is read anew, read from a cache, written into one, and answered."""

    input: int
    cached_input: int
    cache_write: int
    output: int


FREE = Price(0, 0, 0, 0)


def cost(price: Price, prompt: int, cached: int, cache_written: int, completion: int) -> int:
    """Nano-dollars for so many tokens. `prompt` is all that was read; `cached` and `cache_written` are parts of it."""
    return (
        (prompt - cached - cache_written) * price.input
        + cached * price.cached_input
        + cache_written * price.cache_write
        + completion * price.output
    )


def ceiling(price: Price, prompt: int, completion: int) -> int:
    """The most nano-dollars that so many tokens can cost: each of the prompt is read in the dearest way."""
    return prompt * max(price.input, price.cached_input, price.cache_write) + completion * price.output


def nano_dollars(dollars: float) -> int:
    """An amount as a file has it. What is less than a nano-dollar is left out: a limit never becomes higher."""
    return int((_exact(dollars) * NANO).to_integral_value(ROUND_FLOOR))


def per_token(dollars_per_million: float) -> int:
    """A price as a file has it, in nano-dollars per token. Raises ValueError where it is not a whole number of them."""
    nano = _exact(dollars_per_million) * NANO / MILLION
    if nano != nano.to_integral_value():
        raise ValueError(f"{dollars_per_million:g} dollars per million tokens are no whole nano-dollars per token")
    return int(nano)


def show_dollars(nano: int) -> str:
    """At least the cents, and what is below them where there is anything: $500.00, $0.075."""
    dollars, rest = divmod(nano, NANO)
    return f"${dollars}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"


def show_per_million(nano_per_token: int) -> str:
    """What a million tokens cost: $2.50."""
    return show_dollars(nano_per_token * MILLION)


def _exact(dollars: float) -> Decimal:
    """As it was written: 0.1 is a tenth, not the nearest binary fraction."""
    return Decimal(repr(dollars))
