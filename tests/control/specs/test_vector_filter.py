"""What a filter's tree says of itself."""

from __future__ import annotations

from control.specs.vector_filter import EVERYTHING, And, Exists, In, Not, Or, fields_of


def test_a_filter_asks_about_the_fields_of_all_its_parts() -> None:
    assert fields_of(EVERYTHING) == frozenset()
    assert fields_of(And((In("tag", ("a",)), EVERYTHING))) == {"tag"}
    where = Or((In("tag", ("a",)), Not(And((Exists("note"), In("year", (1,)))))))
    assert fields_of(where) == {"tag", "note", "year"}
