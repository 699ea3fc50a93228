"""The plane's cache with the real model: equal requests, other words, and what must never answer for another."""

from __future__ import annotations

import time

import pytest

from serve_apps.gateway.cache.shared import SemanticCache
from tests.serve_apps.gateway.cache.asks import ask


@pytest.fixture(scope="module")
def cache() -> SemanticCache:
    made = SemanticCache()
    made.keep(ask("What is the capital of France?"), b"Paris", 7)
    return made


def test_an_equal_request_and_one_in_other_words_have_the_answer(cache: SemanticCache) -> None:
    exact = cache.find(ask("What is the capital of France?"))
    semantic = cache.find(ask("Please tell me the capital city of France."))
    assert exact
    assert semantic
    assert (exact.kind, exact.body, exact.cost, exact.similarity) == ("exact", b"Paris", 7, 1.0)
    assert (semantic.kind, semantic.body) == ("semantic", b"Paris")
    assert 0.8 <= semantic.similarity < 1


@pytest.mark.parametrize(
    "text", ["What is the capital of Spain?", "What isn't the capital of France?", "How do I boil rice?"]
)
def test_another_question_has_none(cache: SemanticCache, text: str) -> None:
    assert cache.find(ask(text)) is None


def test_another_tenant_has_none(cache: SemanticCache) -> None:
    assert cache.find(ask("What is the capital of France?", tenant="other")) is None
    assert cache.find(ask("Tell me the capital of France.", tenant="other")) is None


def test_an_answer_is_gone_after_its_time(cache: SemanticCache) -> None:
    short = ask("How long does this live?", ttl_s=0.05)
    cache.keep(short, b"x", 0)
    assert cache.find(short) is not None
    time.sleep(0.06)
    assert cache.find(short) is None
