from control.vector_promise import Promise
from control.vectors.election import elect

THREE = (("a", "b", "c"),)


def test_the_longest_log_of_enough_members_leads() -> None:
    promises = {"a": Promise(7, (6, 10)), "c": Promise(7, (6, 12))}
    assert elect(7, THREE, promises).leader == "c"


def test_a_log_of_a_later_epoch_is_longer_whatever_its_number() -> None:
    promises = {"a": Promise(7, (5, 90)), "b": Promise(7, (6, 12))}
    assert elect(7, THREE, promises).leader == "b"


def test_nobody_leads_while_too_few_have_promised() -> None:
    election = elect(7, THREE, {"b": Promise(7, (6, 12))})
    assert election.leader == ""
    assert election.why == "2 of 3 members must promise, and a and c did not answer"


def test_promises_of_another_epoch_do_not_count() -> None:
    assert elect(7, THREE, {"a": Promise(7, (6, 1)), "b": Promise(6, (6, 1))}).leader == ""


def test_one_of_two_is_enough_as_each_has_all_that_was_acknowledged() -> None:
    assert elect(2, (("a", "b"),), {"b": Promise(2, (1, 5))}).leader == "b"


def test_who_lost_entries_does_not_count_though_its_log_is_the_longest() -> None:
    promises = {"a": Promise(7, (6, 12), lost=True), "b": Promise(7, (6, 9))}
    election = elect(7, THREE, promises)
    assert election.leader == ""
    assert "the log of a is damaged" in election.why
    assert elect(7, THREE, promises | {"c": Promise(7, (6, 8))}).leader == "b"


def test_what_is_left_leads_when_all_have_answered_and_that_is_said() -> None:
    election = elect(3, (("a",),), {"a": Promise(3, (2, 4), lost=True)})
    assert election.leader == "a"
    assert "acknowledged writes may be lost" in election.why


def test_while_new_members_are_not_established_enough_of_the_old_ones_must_promise_too() -> None:
    """b and c alone have the last entry; a and d would be enough of the new members."""
    groups = (("a", "b", "c"), ("a", "b", "c", "d"))
    promises = {"a": Promise(9, (7, 1)), "d": Promise(9, (0, 0))}
    assert elect(9, groups, promises).leader == ""
    assert elect(9, groups, promises | {"c": Promise(9, (7, 2))}).leader == "c"
