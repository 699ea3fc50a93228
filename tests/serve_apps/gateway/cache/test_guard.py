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
        ("Who painted the Mona Lisa?", "Which artist painted the Mona Lisa?"),
        ("How deep is Lake Baikal?", "What is the depth of Lake Baikal?"),
        ("Can I freeze cooked rice?", "Can cooked rice be frozen?"),
        ("Can I freeze cooked rice?", "Is it possible to freeze cooked rice?"),
        ("Explain how vaccines work.", "How do vaccines work?"),
        ("How do I turn off notifications on Android?", "How can I switch off notifications on Android?"),
        ("How often do I have to water my plants?", "How often should I water plants?"),
        ("Flights to London from Paris, is there one?", "Is there one of the flights from Paris to London?"),
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
        ("What do snakes eat?", "What eats snakes?"),
        ("Who killed Hamlet?", "Who did Hamlet kill?"),
        ("Who will Trump endorse?", "Who will endorse Trump?"),
        ("Which team beat Real Madrid?", "Which team did Real Madrid beat?"),
        ("What is the average salary in Berlin?", "What is the average starting salary in Berlin?"),
        ("How do I renew my passport?", "How do I renew my passport for a child?"),
        ("Can I renew my passport online?", "Do I have to renew my passport online?"),
        ("Can dogs eat grapes?", "Do dogs eat grapes?"),
        ("How many plants do I need?", "How many plants do I have?"),
        ("What is the price of 2 apples and 3 pears?", "What is the price of 2 pears and 3 apples?"),
        ("How many euros is 20 dollars?", "How many dollars is 20 euros?"),
        ("How many grams are in an ounce?", "How many ounces are in a gram?"),
        ("Is there a train at 5 pm?", "Is there a train at 5 am?"),
        ("In what year was Newton born?", "In what month was Newton born?"),
        ("Where is the capital of Peru?", "What is the capital of Peru?"),
        ("How do I learn chess?", "How do I teach chess?"),
        ("Do I have to convert word to pdf?", "Should I convert pdf to word?"),
        ("Which is it?", "Which one is not it?"),
        ("Wie heißt die Stadt?", "What is the name of the town?"),
        ("Who is the president of Peru?", "Who was the president of Peru?"),
        ("", "What?"),
    ],
)
def test_what_differs_in_one_thing_is_not_the_same_however_near(one: str, other: str) -> None:
    assert why_not(one, other, 0.999, words) != ""
    assert not same_question(other, one, 0.999, words)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Wie kann ich mein Passwort zurücksetzen?", "Wie kann ich mein Passwort nicht zurücksetzen?"),
        ("was kostet eine fahrt nach berlin", "was kostet eine fahrt nach hamburg"),
        ("Wer hat Faust geschrieben?", "Wer schrieb Faust?"),
        ("Quelle est la capitale de la France ?", "Quelle est la capitale de la Suisse ?"),
        ("on a le droit de fumer", "on a pas le droit de fumer"),
        ("Comment supprimer mon compte Gmail ?", "Comment puis-je supprimer mon compte Gmail ?"),
        ("¿Cuál es la capital de Francia?", "¿Cuál es la capital de España?"),
        ("¿Puedo tomar aspirina con alcohol?", "¿No puedo tomar aspirina con alcohol?"),
        ("法国的首都是哪里？", "德国的首都是哪里？"),
        ("我可以喝酒吗？", "我不可以喝酒吗？"),
    ],
)
def test_what_is_not_english_is_never_the_same_by_meaning(one: str, other: str) -> None:
    assert why_not(one, other, 0.999, words) == why_not(other, one, 0.999, words) == "language"
    assert why_not(one, one, 1.0, words) == "language"
