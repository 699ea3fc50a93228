from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.replication.accept import Taken, Unmatched, accept


def _entries(first: int, *terms: int) -> tuple[Entry, ...]:
    return tuple(Entry(term, first + number, Kind.UPSERT, b"") for number, term in enumerate(terms))


def test_entries_that_follow_on_are_taken() -> None:
    fresh = _entries(3, 1, 1)
    assert accept(Position(1, 2), fresh, Position(1, 2), 0, lambda _: 1) == Taken(fresh, None, 4)


def test_what_is_there_already_is_not_taken_twice() -> None:
    entries = _entries(2, 1, 1, 1)
    assert accept(Position(1, 1), entries, Position(1, 3), 0, lambda _: 1) == Taken(entries[2:], None, 4)


def test_a_log_that_ends_before_them_says_where() -> None:
    assert accept(Position(1, 9), _entries(10, 1), Position(1, 4), 2, lambda _: 1) == Unmatched(4)


def test_a_log_that_differs_before_them_sends_the_leader_back_to_what_is_final() -> None:
    assert accept(Position(2, 4), (), Position(1, 4), 2, lambda _: 1) == Unmatched(2)


def test_entries_of_another_term_are_cut_off_for_those_of_the_leader() -> None:
    entries = _entries(3, 2, 2)
    assert accept(Position(1, 2), entries, Position(1, 5), 2, lambda _: 1) == Taken(entries, 2, 4)


def test_a_shorter_message_cuts_nothing_that_fits() -> None:
    assert accept(Position(1, 1), _entries(2, 1), Position(1, 5), 0, lambda _: 1) == Taken((), None, 2)
