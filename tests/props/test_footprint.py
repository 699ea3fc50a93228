"""What is said of a model's memory agrees with itself, whatever the model and the devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from control.checks_memory import memory_faults, memory_notes
from control.kernel.store import Object
from control.registry.lineage import spec_of
from control.registry.state import Registration
from control.scheduler.state import Node
from control.specs.deployment import DeploymentSpec
from control.specs.footprint import ModelFacts, longest_in, need_of
from tests.control.scheduler.world import node

GIB = 1 << 30
FACTS = st.builds(
    ModelFacts,
    weights=st.integers(1, 400 * GIB),
    cache_per_token=st.integers(0, 4 << 20),
    width=st.sampled_from((0, 1, 2, 4)),
    context=st.integers(0, 1 << 20),
    hidden=st.just(4096),
)
ENGINES = st.fixed_dictionaries(
    {},
    optional={
        "max_model_len": st.integers(1, 1 << 20),
        "max_num_seqs": st.integers(1, 1024),
        "dtype": st.sampled_from(("auto", "float32", "bfloat16")),
        "kv_cache_dtype": st.sampled_from(("auto", "fp8")),
        "gpu_memory_utilization": st.floats(0.1, 1.0),
    },
)


def spec(engine: dict[str, Any], devices: int) -> DeploymentSpec:
    return DeploymentSpec(model="chat", devices=devices, engine=engine)


def version(facts: ModelFacts) -> Object:
    found = spec_of(Registration("chat", 1, "r", "s", facts.tags), None)
    return Object("ModelVersion", "chat@1", "u", 1, 1, found, {}, 0.0, 0.0)


def nodes(memories: list[int]) -> list[Node]:
    made = [node(f"n{index}", 4) for index in range(len(memories))]
    return [
        replace(one, devices=tuple(replace(d, memory=memory * GIB) for d in one.devices))
        for one, memory in zip(made, memories, strict=True)
    ]


@given(FACTS, ENGINES, st.integers(1, 16))
def test_more_devices_never_need_more_of_each_and_all_requests_never_less_than_one(
    facts: ModelFacts, engine: dict[str, Any], devices: int
) -> None:
    fewer, more = need_of(facts, engine, devices), need_of(facts, engine, devices + 1)
    assert more.least <= fewer.least <= fewer.full


@given(FACTS, ENGINES, st.integers(1, 8), st.integers(0, 200 * GIB))
def test_the_longest_sequence_starts_and_one_token_more_does_not(
    facts: ModelFacts, engine: dict[str, Any], devices: int, room: int
) -> None:
    longest = longest_in(room, facts, engine, devices)
    if longest:
        assert need_of(facts, {**engine, "max_model_len": longest}, devices).least <= room
    if facts.cache_per_token >= 2 * devices:
        assert need_of(facts, {**engine, "max_model_len": longest + 1}, devices).least > room


@given(FACTS, ENGINES, st.integers(1, 4), st.lists(st.integers(8, 200), min_size=1, max_size=3))
def test_nothing_is_both_refused_and_let_pass_with_a_word_and_what_fits_everywhere_is_not_refused(
    facts: ModelFacts, engine: dict[str, Any], devices: int, memories: list[int]
) -> None:
    asked, there = spec(engine, devices), nodes(memories)
    refused = list(memory_faults(asked, version(facts), there))
    noted = list(memory_notes(asked, version(facts), there))
    assert not (refused and noted)
    largest = list(memory_faults(asked, version(facts), nodes([*memories, 1000])))
    assert len(largest) <= len(refused) <= 1


@given(FACTS, ENGINES, st.lists(st.integers(8, 200), min_size=1, max_size=3))
def test_the_devices_that_are_offered_are_enough(
    facts: ModelFacts, engine: dict[str, Any], memories: list[int]
) -> None:
    there = nodes(memories)
    for fault in memory_faults(spec(engine, 1), version(facts), there):
        for choice in fault.expected.split(" or "):
            name, _, number = choice.partition(": ")
            if name == "devices":
                assert not list(memory_faults(spec(engine, int(number)), version(facts), there))
