"""English is told from other languages by its small words. With the real WordNet."""

from __future__ import annotations

import pytest

from serve_apps.gateway.cache.language import english
from serve_apps.gateway.cache.wordnet import WordNet

words = WordNet().word


@pytest.mark.parametrize(
    "text",
    [
        "How do I install numpy with conda on wsl?",
        "What's ethanol's boiling point?",
        "capital of france",
        "Who was Dvořák?",
    ],
)
def test_english_with_names_and_terms_is_english(text: str) -> None:
    assert english(text, words)


@pytest.mark.parametrize(
    "text",
    [
        "Wo ist der Bahnhof von Hamburg?",
        "Come si fa a cucinare la pasta?",
        "Como posso cancelar a minha assinatura do Gmail?",
        "Hoe kan ik in de stad een fiets huren?",
        "Как мне отменить подписку?",
        "What is 首都 of France?",
        "12 + 13",
    ],
)
def test_another_language_or_none_is_not(text: str) -> None:
    assert not english(text, words)
