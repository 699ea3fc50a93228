from hypothesis import given
from hypothesis import strategies as st

from actors.vectors.hedge import BURST, LEAST_SECONDS, MOST_SECONDS, SHARE, Hedge


def after(*seconds: float) -> Hedge:
    """So long did reads take."""
    hedge = Hedge()
    for one in seconds:
        hedge.begin()
        hedge.answered(one)
    return hedge


def test_a_read_waits_twice_as_long_as_nearly_all_take() -> None:
    times = [0.1 + 0.001 * (number % 100) for number in range(5_000)]
    assert 0.3 < after(*times).patience(10.0) < 0.6


def test_one_slow_read_in_a_thousand_changes_next_to_nothing() -> None:
    times = [0.002 if number % 1_000 else 5.0 for number in range(5_000)]
    assert after(*times).patience(10.0) < 2 * LEAST_SECONDS


def test_nobody_waits_less_than_a_moment_or_longer_than_a_second() -> None:
    assert after(*[1e-4] * 1_000).patience(10.0) == LEAST_SECONDS
    assert after(*[9.0] * 1_000).patience(10.0) == MOST_SECONDS


def test_a_read_with_little_time_left_waits_for_half_of_it() -> None:
    assert Hedge().patience(0.02) == 0.01


def test_too_many_at_once_are_not_asked_of_another_one() -> None:
    hedge = Hedge()
    assert [hedge.spend() for _ in range(int(BURST) + 2)] == [True] * int(BURST) + [False] * 2
    for _ in range(round(1 / SHARE) + 1):
        hedge.begin()
    assert [hedge.spend() for _ in range(2)] == [True, False]


@given(st.lists(st.booleans(), max_size=400))
def test_no_more_than_a_tenth_of_the_reads_are_asked_of_another_one(silent: list[bool]) -> None:
    hedge, asked = Hedge(), 0
    for one in silent:
        hedge.begin()
        asked += one and hedge.spend()
    assert asked <= BURST + SHARE * len(silent)
