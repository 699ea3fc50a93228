"""Two near texts ask for the same thing only where nothing that matters differs. With the real WordNet."""

from __future__ import annotations

import pytest

from serve_apps.gateway.cache.guard import same_question, why_not
from serve_apps.gateway.cache.wordnet import WordNet

words = WordNet().word


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of France?", "Please tell me the capital city of France."),
        ("How do I repair a flat tire?", "What are the steps to fix a flat tire?"),
        ("In Python, how can I sort a list?", "How do I sort a list in Python?"),
        ("How many seconds are in 3 hours?", "how many seconds are there in three hours"),
        ("Why is the sky blue?", "What is the reason that the sky is blue?"),
        ("Who won the 2014 World Cup?", "Who won the World Cup in 2014?"),
        ("How expensive is a train to Berlin?", "What is the price of a train to Berlin?"),
    ],
)
def test_other_words_for_the_same_question_are_the_same(one: str, other: str) -> None:
    assert why_not(one, other, 0.95, words) == ""
    assert same_question(other, one, 0.95, words)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 12 percent of 80?", "What is 13 percent of 80?"),
        ("How long do 3 eggs take?", "How long do thirteen eggs take?"),
        ("What is the capital of France?", "What is the capital of Germany?"),
        ("what is the capital of paris", "what is the capital of london"),
        ("How do I install numpy?", "How do I install pandas?"),
        ("Is it safe to eat raw eggs?", "Is it not safe to eat raw eggs?"),
        ("Is it safe to eat raw eggs?", "Is it unsafe to eat raw eggs?"),
        ("Why should I use Docker?", "Why shouldn't I use Docker?"),
        ("How do I enable two-factor login?", "How do I disable two-factor login?"),
        ("Is coffee better than tea?", "Is tea better than coffee?"),
        ("flights from Paris to London", "flights from London to Paris"),
        ("How do I convert pdf to word?", "How do I convert word to pdf?"),
        ("dogs chase cats", "cats chase dogs"),
        ("When did Newton die?", "Where did Newton die?"),
        ("What is your name?", "What is my name?"),
        ("What does `git add` do?", "What does `git rm` do?"),
        ("How many seconds are in a day?", "How many minutes are in a day?"),
        ("Do cats sleep before Monday?", "Do cats sleep after Monday?"),
        ("Wie heißt die Stadt?", "What is the name of the town?"),
        ("Who is the president of Peru?", "Who was the president of Peru?"),
        ("", "What?"),
    ],
)
def test_what_differs_in_one_thing_is_not_the_same_however_near(one: str, other: str) -> None:
    assert why_not(one, other, 0.999, words) != ""
    assert not same_question(other, one, 0.999, words)
