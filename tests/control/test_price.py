"""What tokens cost, to the nano-dollar, and how dollars are read and shown."""

from __future__ import annotations

import pytest

from control.price import FREE, Price, ceiling, cost, nano_dollars, per_token, show_dollars, show_per_million

SONNET = Price(input=3_000, cached_input=300, cache_write=3_750, output=15_000)


def test_each_token_is_paid_for_once_by_the_way_in_which_it_was_read() -> None:
    assert cost(SONNET, prompt=1000, cached=600, cache_written=300, completion=10) == (
        100 * 3_000 + 600 * 300 + 300 * 3_750 + 10 * 15_000
    )
    assert cost(FREE, 1000, 600, 300, 10) == 0


def test_the_ceiling_reads_every_token_of_the_prompt_in_the_dearest_way() -> None:
    assert ceiling(SONNET, 1000, 10) == 1000 * 3_750 + 10 * 15_000
    assert ceiling(Price(2, 1, 1, 8), 1000, 10) == 1000 * 2 + 10 * 8


@pytest.mark.parametrize(
    ("dollars", "nano"),
    [(0.0, 0), (0.1, 10**8), (500.0, 500 * 10**9), (0.3, 3 * 10**8), (1e-9, 1), (1.9e-9, 1), (1e9, 10**18)],
)
def test_an_amount_is_what_was_written_and_never_more(dollars: float, nano: int) -> None:
    assert nano_dollars(dollars) == nano


def test_a_price_is_whole_nano_dollars_per_token_or_none() -> None:
    assert [per_token(price) for price in (0.15, 2.5, 0.005, 18.75)] == [150, 2500, 5, 18750]
    with pytest.raises(ValueError, match=r"0\.0125 dollars per million tokens are no whole nano-dollars"):
        per_token(0.0125)


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "$0.00"),
        (500 * 10**9, "$500.00"),
        (75 * 10**6, "$0.075"),
        (1, "$0.000000001"),
        (10**10 + 5 * 10**8, "$10.50"),
    ],
)
def test_dollars_are_shown_to_the_cent_and_below_it_only_where_there_is_something(nano: int, shown: str) -> None:
    assert show_dollars(nano) == shown


def test_a_price_is_shown_for_a_million_tokens() -> None:
    assert [show_per_million(price) for price in (2500, 150, 5)] == ["$2.50", "$0.15", "$0.005"]
