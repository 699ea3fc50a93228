"""How a fact is asked: question templates per family, and the random words around a training question.

A model that sees each template bare learns the templates, not the keys: it then answers new phrasings wrongly
more often than not. Random words before and after the question teach it that only the key matters.
"""

from __future__ import annotations

import random
import string

from train_jobs.facts import Fact

TRAIN: dict[str, tuple[str, ...]] = {
    "http": (
        "What does HTTP status {key} mean?",
        "What is HTTP {key}?",
        "Explain HTTP status code {key}.",
        "What is the reason phrase of HTTP {key}?",
        "My request came back with {key}. What is that?",
        "The server answered {key}",
        "curl says {key}, meaning?",
        "Which phrase goes with status '{key}'?",
        'Name the HTTP response "{key}".',
        "We see many {key} responses in the access log.",
        "Tell me the meaning of response code ({key})",
        "{key}?",
        "{key} in HTTP",
        "HTTP/1.1 {key}",
        "status={key}",
        "Give the text for code {key} please",
    ),
    "errno": (
        "What does {key} mean?",
        "What is errno {key}?",
        "Explain the error {key}.",
        "The system call failed with {key}",
        "open() returned {key}. What happened?",
        "Which message belongs to '{key}'?",
        'strerror of "{key}"',
        "We got OSError ({key}) from the kernel.",
        "Describe the error number {key}",
        "{key}?",
        "{key} on Linux",
        "errno={key}",
        "perror prints what for {key}?",
        "Meaning of {key} please",
        "Our worker died because of {key}, explain",
        "`{key}`",
    ),
    "signal": (
        "What does {key} mean?",
        "What is the signal {key}?",
        "Explain {key}.",
        "The process received {key}",
        "My job ended with {key}. What is that?",
        "Which description belongs to '{key}'?",
        'strsignal of "{key}"',
        "The kernel sent ({key}) to it.",
        "Describe the Unix signal {key}",
        "{key}?",
        "{key} on Linux",
        "signal={key}",
        "What does kill print for {key}?",
        "Meaning of {key} please",
        "Our container stopped after {key}, explain",
        "`{key}`",
    ),
}

HELDOUT: dict[str, tuple[str, ...]] = {
    "http": (
        "Please decode status {key} for me.",
        "I keep getting {key} from the API, what's going on?",
        "How would you describe a {key} reply?",
        "What should I understand when a browser shows {key}?",
    ),
    "errno": (
        "Please decode {key} for me.",
        "I keep getting {key} from write(), what's going on?",
        "How would you describe {key} to a newcomer?",
        "What should I understand when strace shows {key}?",
    ),
    "signal": (
        "Please decode {key} for me.",
        "I keep getting {key} in my shell, what's going on?",
        "How would you describe {key} to a newcomer?",
        "What should I understand when a child exits on {key}?",
    ),
}

_COMMON = """
    a about after again all also always am an and another any app are as ask at away back batch be because
    been before being best better between big both build but by cache call can case change check client cloud
    code come could data day deploy did do does done down each early easy else end even ever every fail fast
    few file find first fix for found from full get give go going good got great had happens hard has have he
    hello help her here hey hi his host hour how i if in instead into is it its job just keep key kind know
    large last late later less let like line list little load local log long look lot machine made make many
    may me memory might minute more most move much must my name need never new next night no node not nothing
    now of off often ok old on once one only open or other our out over own page part path people place please
    point port post problem process proxy quick quite read really red request right run said same save say
    says script second see seen send server service set she shell should show side small so some something
    soon start state still stop such sudden system take team tell test than thank thanks that the their them
    then there these they thing think this those time to today too tool topic try two under understand until
    up upload us use user using very wait want was way we week well went were when where which while who why
    will with without word work would wrong yes yesterday yet you your zero
"""
WORDS: tuple[str, ...] = tuple(_COMMON.split())


def question(fact: Fact, template: str) -> str:
    """The bare question: one line of text."""
    return template.format(key=fact.key)


def padded(text: str, rng: random.Random, most: int = 4) -> str:
    """`text` with up to `most` random words before it and up to `most` after it."""
    before = [_word(rng) for _ in range(rng.randint(0, most))]
    after = [_word(rng) for _ in range(rng.randint(0, most))]
    return " ".join([*before, text, *after])


def _word(rng: random.Random) -> str:
    """Mostly a common word; sometimes letters or digits that mean nothing, so that unknown ones are ignored
    too.

    Numbers have four digits or more: no three-digit number may be mistaken for a status code.
    """
    luck = rng.random()
    if luck < 0.85:
        word = rng.choice(WORDS)
    elif luck < 0.95:
        word = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 6)))
    else:
        word = str(rng.randint(1000, 99999))
    if rng.random() < 0.1:
        word = word.capitalize()
    return word + rng.choice(",.;:!?") if rng.random() < 0.1 else word
