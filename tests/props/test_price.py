"""What holds for the cost of tokens whatever the prices and the counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control.price import NANO, Price, ceiling, cost, nano_dollars, per_token, show_dollars

AMOUNTS = st.integers(0, 10**6)
PRICES = st.builds(Price, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)


@st.composite
def _tokens(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Of a prompt: all, of it cached, of it written to a cache; and of the answer."""
    prompt = draw(AMOUNTS)
    cached = draw(st.integers(0, prompt))
    return prompt, cached, draw(st.integers(0, prompt - cached)), draw(AMOUNTS)


TOKENS = _tokens()


@given(PRICES, TOKENS)
def test_what_was_reserved_covers_what_it_costs(price: Price, tokens: tuple[int, int, int, int]) -> None:
    prompt, *_, completion = tokens
    assert 0 <= cost(price, *tokens) <= ceiling(price, prompt, completion)


@given(PRICES, AMOUNTS, AMOUNTS)
def test_no_more_is_reserved_than_a_request_may_cost(price: Price, prompt: int, completion: int) -> None:
    ways = ((0, 0), (prompt, 0), (0, prompt))
    assert ceiling(price, prompt, completion) == max(cost(price, prompt, *way, completion) for way in ways)


@given(PRICES, TOKENS, TOKENS)
def test_two_requests_cost_the_sum_of_both(
    price: Price, one: tuple[int, int, int, int], two: tuple[int, int, int, int]
) -> None:
    together = [mine + theirs for mine, theirs in zip(one, two, strict=True)]
    assert cost(price, *together) == cost(price, *one) + cost(price, *two)


@given(PRICES, TOKENS, AMOUNTS, AMOUNTS)
def test_more_tokens_never_cost_less(
    price: Price, tokens: tuple[int, int, int, int], more_read: int, more_written: int
) -> None:
    prompt, cached, written, completion = tokens
    assert cost(price, prompt + more_read, cached, written, completion + more_written) >= cost(price, *tokens)
    assert ceiling(price, prompt + more_read, completion + more_written) >= ceiling(price, prompt, completion)


@given(st.integers(0, 10**9))
def test_a_price_that_a_file_can_say_is_read_exactly(nano_per_token: int) -> None:
    assert per_token(nano_per_token / 1000) == nano_per_token


@given(st.integers(0, 10**14))
def test_an_amount_that_is_shown_is_read_back_as_it_was(nano: int) -> None:
    assert nano_dollars(float(show_dollars(nano).removeprefix("$"))) == nano


@given(st.floats(0, 10**9))
def test_an_amount_never_becomes_more(dollars: float) -> None:
    assert nano_dollars(dollars) <= dollars * NANO * (1 + 2**-50)
