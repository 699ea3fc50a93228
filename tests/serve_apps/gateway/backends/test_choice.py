"""Which backends a request tries: split by weight among the well, then the chain, and why not the others."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from control.specs.trigger import parse_trigger
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.choice import Chooser
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.health import OPEN_AFTER, Closed
from serve_apps.gateway.errors import ApiError, Failure

ERROR = ApiError(503, "model_unavailable", "it is away")
CHAIN = ("openai", "anthropic", "local-vllm")
WEIGHTS = {"openai": 70.0, "anthropic": 20.0, "local-vllm": 10.0}
BUDGET = Closed("budget of $500.00 a day is spent", 86400.0)


def route(
    weights: dict[str, float] = WEIGHTS, chain: Sequence[str] = CHAIN, triggers: Sequence[str] = ("error_rate > 0.05",)
) -> tuple[Chooser, dict[str, Backend]]:
    parsed = tuple(map(parse_trigger, triggers))
    backends = {name: Backend(name, name, "model") for name in weights}
    return Chooser([(backends[name], weight) for name, weight in weights.items()], chain, parsed), backends


def names(order: Sequence[Backend]) -> list[str]:
    return [backend.name for backend in order]


def sicken(backend: Backend, errors: int, of: int = 100) -> None:
    for number in range(of):
        backend.window.record(0.0, number < errors, 100.0)


def open_breaker(backend: Backend) -> None:
    for _ in range(OPEN_AFTER):
        backend.failed(0, Fault(Failure.FAILED, ERROR, 500), 0.0, 0.0)


def test_first_tries_are_split_by_weight_and_the_chain_follows() -> None:
    chooser, _ = route()
    orders = [names(chooser.choose(0.0).order) for _ in range(1000)]
    assert Counter(order[0] for order in orders) == {"openai": 700, "anthropic": 200, "local-vllm": 100}
    for first, *rest in orders:
        assert rest == [name for name in CHAIN if name != first]


def test_without_a_chain_all_follow_the_largest_weight_first() -> None:
    chooser, _ = route({"a": 1.0, "b": 3.0, "c": 0.0, "d": 2.0}, chain=())
    orders = {tuple(names(chooser.choose(0.0).order)) for _ in range(6)}
    assert orders == {("a", "b", "d", "c"), ("b", "d", "a", "c"), ("d", "b", "a", "c")}


def test_who_is_not_in_the_chain_is_not_fallen_back_to_and_who_has_no_weight_only_that() -> None:
    chooser, backends = route({"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}, chain=("c", "b"))
    assert {tuple(names(chooser.choose(0.0).order)) for _ in range(4)} == {("a", "c", "b"), ("b", "c")}
    barred = {backends["a"]: BUDGET, backends["b"]: BUDGET}
    assert names(chooser.choose(0.0, barred).order) == ["c"]
    assert names(chooser.choose(0.0, barred | {backends["c"]: BUDGET}).order) == []


def test_two_backends_of_a_provider_follow_each_other_in_the_files_order() -> None:
    small, large, other = (
        Backend("openai/small", "openai", "small"),
        Backend("openai/large", "openai", "large"),
        Backend("anthropic", "anthropic", "claude"),
    )
    chooser = Chooser([(small, 0), (large, 0), (other, 1)], ("openai", "anthropic"))
    assert chooser.choose(0.0).order == (other, small, large)


def test_a_sick_backend_is_left_out_and_says_why() -> None:
    chooser, backends = route()
    sicken(backends["openai"], 27, 87)
    choices = [chooser.choose(0.0) for _ in range(300)]
    assert Counter(choice.order[0].name for choice in choices) == {"anthropic": 200, "local-vllm": 100}
    assert all(backends["openai"] not in choice.order for choice in choices)
    assert {choice.words for choice in choices} == {"openai: error_rate 0.31 > 0.05 over 60 s, 87 requests"}


def test_where_all_are_sick_the_best_of_them_is_tried_first() -> None:
    chooser, backends = route()
    for name, errors in (("openai", 50), ("anthropic", 10), ("local-vllm", 30)):
        sicken(backends[name], errors)
    choice = chooser.choose(0.0)
    assert names(choice.order) == ["anthropic", "local-vllm", "openai"]
    assert choice.words == (
        "openai: error_rate 0.5 > 0.05 over 60 s, 100 requests (tried: none is better); "
        "anthropic: error_rate 0.1 > 0.05 over 60 s, 100 requests (tried: none is better); "
        "local-vllm: error_rate 0.3 > 0.05 over 60 s, 100 requests (tried: none is better)"
    )


def test_of_the_sick_too_none_follows_that_is_not_in_the_chain() -> None:
    chooser, backends = route({"a": 1.0, "b": 1.0, "c": 1.0}, chain=("b",))
    for name, errors in (("a", 50), ("b", 30), ("c", 70)):
        sicken(backends[name], errors)
    assert names(chooser.choose(0.0).order) == ["b"]
    backends["b"].health = backends["b"].health.busy(100.0)
    assert names(chooser.choose(0.0).order) == ["a"]


def test_of_the_sick_none_is_tried_whose_breaker_is_open_or_whose_budget_is_spent() -> None:
    chooser, backends = route()
    for backend in backends.values():
        sicken(backend, 50)
    open_breaker(backends["openai"])
    choice = chooser.choose(1.0, {backends["anthropic"]: BUDGET})
    assert names(choice.order) == ["local-vllm"]
    assert choice.words.split("; ") == [
        "openai: breaker open for 4.0 s more after 5 failures in a row, the last: answered 500",
        "anthropic: budget of $500.00 a day is spent",
        "local-vllm: error_rate 0.5 > 0.05 over 60 s, 100 requests (tried: none is better)",
    ]


def test_where_none_may_be_tried_the_first_moment_is_told_that_one_may() -> None:
    chooser, backends = route()
    for backend in backends.values():
        open_breaker(backend)
    backends["anthropic"].health = backends["anthropic"].health.busy(100.0)
    choice = chooser.choose(1.0, {backends["openai"]: Closed("budget", 3.0)})
    assert (choice.order, choice.until) == ((), 3.0)
    assert chooser.choose(1.0, dict.fromkeys(backends.values(), Closed("budget", math.inf))).until == math.inf


def test_a_backend_whose_breaker_is_half_open_has_its_turn_whatever_the_triggers_say() -> None:
    chooser, backends = route(triggers=("provider_status != healthy", "error_rate > 0.05"))
    sicken(backends["openai"], 50)
    open_breaker(backends["openai"])
    firsts = Counter(chooser.choose(5.0).order[0].name for _ in range(10))
    assert firsts == {"openai": 7, "anthropic": 2, "local-vllm": 1}
    for _ in range(3):
        backends["openai"].begin(5.0)
    assert "breaker half-open" in chooser.choose(5.0).words


def test_turns_go_on_in_the_next_configuration_where_the_shares_are_the_same() -> None:
    backends = [(Backend(name, name, "model"), weight) for name, weight in WEIGHTS.items()]
    found, before = Counter[str](), Chooser(backends, CHAIN)
    for _ in range(100):
        chooser = Chooser(backends, CHAIN)
        chooser.go_on(before)
        found[chooser.choose(0.0).order[0].name] += 1
        before = chooser
    assert found == {"openai": 70, "anthropic": 20, "local-vllm": 10}
    other = Chooser(backends[:2], CHAIN)
    other.go_on(before)
    assert Counter(other.choose(0.0).order[0].name for _ in range(9)) == {"openai": 7, "anthropic": 2}


weights = st.one_of(st.integers(1, 100).map(float), st.floats(0.01, 100))


@settings(max_examples=100, deadline=None)
@given(st.lists(weights, min_size=1, max_size=6), st.data())
def test_whichever_backends_are_usable_each_has_its_share_of_them_to_within_a_request(
    found: list[float], data: st.DataObject
) -> None:
    chooser, backends = route({str(index): weight for index, weight in enumerate(found)}, chain=())
    usable = data.draw(st.sets(st.sampled_from(sorted(backends)), min_size=1))
    barred = {backend: BUDGET for name, backend in backends.items() if name not in usable}
    total = sum(found[int(name)] for name in usable)
    bound = (1 - 1 / (2 * len(found) - 2) if len(found) > 1 else 0) + 1e-6
    counted = Counter[str]()
    for number in range(1, 200):
        choice = chooser.choose(0.0, barred)
        assert set(names(choice.order)) == usable
        counted[choice.order[0].name] += 1
        for name in usable:
            assert abs(counted[name] - number * found[int(name)] / total) <= bound


@settings(max_examples=100, deadline=None)
@given(st.lists(weights, min_size=2, max_size=6), st.data())
def test_however_often_others_are_usable_each_has_its_share_of_the_turns_that_it_could_have(
    found: list[float], data: st.DataObject
) -> None:
    chooser, backends = route({str(index): weight for index, weight in enumerate(found)}, chain=())
    subsets = st.lists(st.sets(st.sampled_from(sorted(backends)), min_size=1), min_size=1, max_size=150)
    counted, due = Counter[str](), dict.fromkeys(backends, 0.0)
    for usable in data.draw(subsets):
        barred = {backend: BUDGET for name, backend in backends.items() if name not in usable}
        counted[chooser.choose(0.0, barred).order[0].name] += 1
        total = sum(found[int(name)] for name in usable)
        for name in usable:
            due[name] += found[int(name)] / total
        bound = 0.5 if len(found) == 2 else len(found) / 2
        assert all(abs(counted[name] - due[name]) <= bound + 1e-6 for name in backends)


def test_a_backend_that_sleeps_is_woken_at_its_turn_and_another_one_answers_before_it() -> None:
    chooser, backends = route()
    asleep = {backends["openai"]}
    choices = [chooser.choose(0.0, asleep=asleep) for _ in range(1000)]
    assert Counter(tuple(names(choice.order)) for choice in choices) == {
        ("anthropic", "local-vllm", "openai"): 700 + 200,
        ("local-vllm", "anthropic", "openai"): 100,
    }, "who helps out keeps its own turns"
    assert [choice.woken for choice in choices].count(backends["openai"]) == 700
    assert all(choice.words == "" for choice in choices), "it is well"


def test_a_route_of_which_all_sleep_waits_for_the_one_whose_turn_it_is() -> None:
    chooser, backends = route()
    barred = {backends["local-vllm"]: BUDGET}
    choices = [chooser.choose(0.0, barred, {backends["openai"], backends["anthropic"]}) for _ in range(90)]
    assert Counter(choice.order[0].name for choice in choices) == {"openai": 70, "anthropic": 20}
    assert {choice.woken for choice in choices} == {None}


def test_for_one_that_sleeps_one_answers_that_nobody_falls_back_to_but_only_that_one() -> None:
    chooser, backends = route({"here": 1.0, "a": 1.0, "b": 1.0}, chain=("here",))
    choices = [chooser.choose(0.0, asleep=[backends["here"]]) for _ in range(3)]
    assert sorted(names(choice.order) for choice in choices) == [["a", "here"], ["a", "here"], ["b", "here"]]
    assert [choice.woken for choice in choices].count(backends["here"]) == 1
    chooser, backends = route({"here": 0.0, "a": 1.0}, chain=("here",))
    choice = chooser.choose(0.0, asleep=[backends["here"]])
    assert (names(choice.order), choice.woken) == (["a", "here"], None), "whose turn never comes sleeps on"


def test_no_order_names_a_backend_twice_whatever_is_closed_or_sick() -> None:
    for states in itertools.product(("well", "sick", "closed"), repeat=3):
        chooser, backends = route()
        barred = {}
        for state, backend in zip(states, backends.values(), strict=True):
            if state == "sick":
                sicken(backend, 50)
            elif state == "closed":
                barred[backend] = BUDGET
        choice = chooser.choose(0.0, barred)
        wanted = [name for name, state in zip(backends, states, strict=True) if state == "well"]
        wanted = wanted or [name for name, state in zip(backends, states, strict=True) if state == "sick"]
        assert sorted(names(choice.order)) == sorted(wanted)
        assert len(choice.remarks) == 3 - states.count("well")
        assert all(remark.tried == (remark.backend in choice.order) for remark in choice.remarks)
