from actors.vectors.replication.progress import LEASE_SECONDS, Progress

THREE = ("a", "b", "c")


def test_what_a_quorum_and_the_leader_have_is_committed() -> None:
    progress = Progress("a", THREE, 1)
    progress.matches("b", 5)
    assert progress.committed == 0
    progress.matches("a", 4)
    assert progress.committed == 4


def test_what_followers_have_and_the_leader_has_not_is_not_committed() -> None:
    progress = Progress("a", THREE, 1)
    for name, seq in (("a", 1), ("b", 9), ("c", 9)):
        progress.matches(name, seq)
    assert progress.committed == 1


def test_nothing_of_earlier_epochs_is_committed_before_the_first_entry_of_this_one() -> None:
    progress = Progress("a", THREE, 8)
    for name in THREE:
        progress.matches(name, 7)
    assert progress.committed == 0
    progress.matches("a", 8)
    progress.matches("c", 8)
    assert progress.committed == 8
    assert progress.everywhere == 7


def test_the_lease_lasts_from_when_a_quorum_was_asked() -> None:
    progress = Progress("a", THREE, 1)
    assert progress.lease_end(10.0) < 10.0
    progress.answered("b", 9.0)
    progress.answered("b", 8.0)
    assert progress.lease_end(10.0) == 9.0 + LEASE_SECONDS
    assert progress.silent(10.0) == ("c",)


def test_a_single_member_needs_nobody() -> None:
    progress = Progress("a", ("a",), 1)
    progress.matches("a", 3)
    progress.matches("learner", 1)
    assert (progress.committed, progress.everywhere) == (3, 3)
    assert progress.lease_end(5.0) > 5.0
