"""The order of what two questions share tells who does what, unless the sentence is built the other way round."""

from __future__ import annotations

from serve_apps.gateway.cache.order import same_order


def same(one: str, other: str, named: str = "", acts: str = "", turns: bool = False, counted: bool = True) -> bool:
    return same_order(one.split(), other.split(), set(named.split()), set(acts.split()), turns, counted)


def test_places_may_come_in_another_order_where_a_small_word_says_which_is_which() -> None:
    assert same("flights from paris to london", "flights to london from paris", named="paris london")
    assert not same("flights from paris to london", "flights from london to paris", named="paris london")
    assert not same("flights paris london", "flights london paris", named="paris london")


def test_a_thing_comes_to_the_other_side_of_a_verb_only_in_a_passive() -> None:
    assert same("water mint", "mint water", acts="water", turns=True)
    assert not same("eat snakes", "snakes eat", acts="eat")
    assert same("legs spider", "spider legs")


def test_numbers_that_count_other_things_are_not_turned() -> None:
    assert same("#20 euros dollars", "dollars #20 euros")
    assert not same("#20 euros dollars", "#20 dollars euros", counted=False)
    assert not same("#2 apples #3 pears", "#2 apples #3 pears", counted=False)
