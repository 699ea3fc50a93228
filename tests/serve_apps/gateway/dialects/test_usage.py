"""Tokens, read from each dialect and written in each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.gateway.dialects.usage import Usage
from tests.serve_apps.gateway.dialects.answers import COUNTS, JSON


def test_each_dialect_counts_the_cached_its_own_way() -> None:
    expected = Usage(prompt=12, cached=4, cache_written=5, completion=8, reasoning=2)
    chat = {
        "prompt_tokens": 12,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    anthropic = {
        "input_tokens": 3,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 5,
        "output_tokens": 8,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    responses = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    assert Usage.of_chat(chat) == Usage.of_anthropic(anthropic) == Usage.of_responses(responses) == expected


def test_vllm_names_the_written_in_its_own_way() -> None:
    usage = {"prompt_tokens": 9, "prompt_tokens_details": {"created_cache_tokens": 5, "cached_tokens": None}}
    assert Usage.of_chat(usage) == Usage(9, 0, 5, 0, 0)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_what_is_written_is_read_back(rest: int, cached: int, written: int, said: int, thought: int) -> None:
    usage = Usage(rest + cached + written, cached, written, said + thought, thought)
    assert Usage.of_chat(usage.for_chat()) == usage
    assert Usage.of_anthropic(usage.for_anthropic()) == usage
    assert Usage.of_responses(usage.for_responses()) == usage


@given(st.sampled_from([Usage.of_chat, Usage.of_anthropic, Usage.of_responses]), st.data())
def test_wrong_figures_are_never_negative_and_parts_never_exceed_the_whole(read: Any, data: st.DataObject) -> None:
    names = (
        "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "cache_read_input_tokens",
        "prompt_tokens_details", "input_tokens_details", "output_tokens_details",
    )  # fmt: skip
    details = st.dictionaries(st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens"]), JSON)
    usage = read(data.draw(JSON | st.dictionaries(st.sampled_from(names), JSON | details)))
    assert usage.cached + usage.cache_written <= usage.prompt
    assert usage.reasoning <= usage.completion
    assert min(usage.cached, usage.cache_written, usage.reasoning) >= 0


@pytest.mark.parametrize("count", [True, "5", -1, 1.5, None])
def test_what_is_no_count_is_nothing(count: Any) -> None:
    assert Usage.of_chat({"prompt_tokens": count}).prompt == 0
