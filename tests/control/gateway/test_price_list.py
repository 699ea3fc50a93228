"""Whose word holds for a model's price: the document's, then the list's, and what is served locally is free."""

from __future__ import annotations

import pytest

from control.gateway.price_list import Priced, Source, listed, price_of
from control.price import FREE, Price
from control.specs.model_price import ModelPrice

GPT_4O = Priced(Price(2_500, 1_250, 2_500, 10_000), Source.LIST)


def own(model: str, dollars: float, provider: str = "openai") -> ModelPrice:
    return ModelPrice(provider=provider, model=model, input=dollars, output=4 * dollars)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-20240806", "gpt-4o-latest"])
def test_a_listed_name_stands_for_its_dated_versions(model: str) -> None:
    assert price_of("openai", model, ()) == GPT_4O


@pytest.mark.parametrize("model", ["gpt-4o-audio", "gpt-4o-2024-08", "gpt-4o-2024-08-06-eu", "gpt-4", "GPT-4o"])
def test_a_name_that_only_begins_like_a_listed_one_is_another_model(model: str) -> None:
    assert price_of("openai", model, ()) != GPT_4O
    assert price_of("anthropic", "gpt-4o", ()) is None


def test_a_version_that_is_listed_itself_has_its_own_price() -> None:
    old = price_of("openai", "gpt-4o-2024-05-13", ())
    assert old is not None
    assert old.price.input == 5_000


def test_a_version_s_minor_number_is_no_date() -> None:
    found = {name: price_of("anthropic", name, ()) for name in ("claude-opus-4-20250514", "claude-opus-4-5-20251101")}
    assert [priced.price.input if priced else None for priced in found.values()] == [15_000, 5_000]


def test_the_document_s_word_holds_before_the_list_s() -> None:
    priced = price_of("openai", "gpt-4o", (own("gpt-4o", 1.5),))
    assert priced == Priced(Price(1_500, 1_500, 1_500, 6_000), Source.DOCUMENT)
    versions = (own("gpt-4o", 1.5), own("gpt-4o-2024-08-06", 9))
    assert [
        priced.price.input if (priced := price_of("openai", name, versions)) else None
        for name in ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-2024-05-13", "gpt-4")
    ] == [9_000, 1_500, 1_500, 30_000]


def test_what_is_served_locally_is_free_unless_the_document_prices_it() -> None:
    assert price_of("local-vllm", "llama", ()) == Priced(FREE, Source.LOCAL)
    priced = price_of("local-vllm", "llama", (own("llama", 0.1, "local-vllm"),))
    assert priced == Priced(Price(100, 100, 100, 400), Source.DOCUMENT)


def test_what_nobody_prices_has_no_price() -> None:
    assert price_of("openai", "ft:gpt-4o-2024-08-06:mine", ()) is None


def test_a_price_that_leaves_out_the_cache_is_never_too_low_for_it() -> None:
    assert own("gpt-9", 2).price == Price(2_000, 2_000, 2_000, 8_000)
    assert own("claude-9", 0.003, "anthropic").price == Price(3, 3, 4, 12), "1.25 times 3, rounded up"
    told = ModelPrice(provider="anthropic", model="m", input=2, output=8, cached_input=0.2, cache_write=2.5)
    assert told.price == Price(2_000, 200, 2_500, 8_000)


def test_the_list_has_every_price_written_out_and_reading_from_a_cache_is_never_dearer() -> None:
    for one in listed().values():
        assert None not in (one.cached_input, one.cache_write), one.name
        price = one.price
        assert 0 < price.cached_input <= price.input <= price.cache_write, one.name
        assert price.output > 0 or "embedding" in one.model, one.name
