from actors.vectors.replica_choice import MOST_SHUN_SECONDS, SHUN_SECONDS, ReplicaChoice

MEMBERS = ("a", "b", "c")


def test_reads_go_to_all_replicas_in_turn() -> None:
    choice = ReplicaChoice()
    assert {choice.pick(MEMBERS, (), 0.0)[0] for _ in range(3)} == set(MEMBERS)


def test_the_one_with_the_fewest_calls_on_their_way_is_asked() -> None:
    choice = ReplicaChoice()
    choice.flying.update(a=2, b=1, c=2)
    assert {choice.pick(MEMBERS, (), 0.0)[0] for _ in range(6)} == {"b"}


def test_who_was_tried_is_not_asked_again_and_it_is_said_whether_others_are_left() -> None:
    choice = ReplicaChoice()
    assert choice.pick(MEMBERS, {"a", "c"}, 0.0) == ("b", False)
    assert choice.pick(MEMBERS, {"a"}, 0.0)[1]
    assert choice.pick(MEMBERS, MEMBERS, 0.0) == ("", False)
    assert choice.pick((), (), 0.0) == ("", False)


def test_a_silent_one_is_asked_last_until_its_time_is_over() -> None:
    choice = ReplicaChoice()
    choice.silent("a", 0.1, now=10.0)
    asked = {choice.pick(MEMBERS, (), 10.0 + SHUN_SECONDS - 0.01)[0] for _ in range(9)}
    assert asked == {"b", "c"}
    assert choice.pick(MEMBERS, {"b", "c"}, 10.0) == ("a", False)
    assert "a" in {choice.pick(MEMBERS, (), 10.0 + SHUN_SECONDS)[0] for _ in range(9)}


def shunned_for(choice: ReplicaChoice, now: float) -> float:
    return next(s for s in range(100) if choice.pick(("a", "b"), (), now + s + 0.5)[0] == "a" or s == 99)


def test_whoever_stays_silent_is_asked_ever_more_rarely_until_it_answers() -> None:
    choice, lasted = ReplicaChoice(), []
    choice.flying["b"] = 1  # so that only silence keeps calls from "a"
    for _ in range(5):
        choice.silent("a", 0.1, now=0.0)
        lasted.append(shunned_for(choice, 0.0))
    assert lasted == [1, 2, 4, MOST_SHUN_SECONDS, MOST_SHUN_SECONDS]
    choice.answered("a")
    assert shunned_for(choice, 0.0) == 0
    choice.silent("a", 0.1, now=0.0)
    assert shunned_for(choice, 0.0) == 1


def test_who_was_waited_for_long_is_shunned_as_long() -> None:
    choice = ReplicaChoice()
    choice.flying["b"] = 1
    choice.silent("a", 30.0, now=0.0)
    assert shunned_for(choice, 0.0) == 30
