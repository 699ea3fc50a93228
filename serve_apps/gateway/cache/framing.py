"""What surrounds a question without being part of it, and which kind of question it is. English. Pure."""

from __future__ import annotations

import re
from enum import Enum

_ASKED = r"(?:tell|explain|describe|show|teach|help|walk|guide|remind|inform|enlighten|give|let|advise)"
_OPENINGS = [
    r"(?:hi|hello|hey|please|kindly|ok|okay|so|well|quick question|question|excuse me|just)(?: there)?[\s,:!.-]+",
    rf"(?:can|could|would|will) (?:you|someone|anyone|somebody) (?:please |kindly |possibly )?(?={_ASKED}\b)",
    r"(?:can|could|would|will) (?:you|someone|anyone|somebody) (?:please |kindly )(?=\w)",
    rf"{_ASKED} (?:to )?(?:me|us)\b(?: know| understand| figure out| find out| through| with| about| on| to)*\s*",
    r"(?:explain|describe|outline|clarify)(?: to (?:me|us))?\s+",
    r"(?:i|we)(?:'d|'m|'re| would| am| are| was| were)? (?:really |just |also )?"
    r"(?:want|need|like|love|wish|trying|looking|wondering|curious|wonder|interested|hoping)\b"
    r"(?: in| to| as to)*(?: know| understand| learn| find out| figure out| ask| hear| see| knowing| learning)*"
    r"(?: about| if you know)*\s*",
    r"(?:do|would|does) (?:you|anyone|anybody) (?:happen to )?(?:know|have (?:an|any) idea)(?: of| about)?\s+",
    r"(?:would|do) you mind (?:telling|explaining|showing)(?: to)?(?: me| us)?\s+",
    r"(?:(?:do you have )?any (?:idea|ideas|clue|advice|tips)|i have a question|my question is)"
    r"(?: on| about| for)?[\s,:]+",
    r"(?:is|are) there (?:a|any|some) (?:\w+ )?ways? (?:(?:for|of) (?:me|us|someone|one) )?(?=to\b|i can\b|of\b)",
    r"(?:name|state|list|specify|provide|give|find out|find) "
    r"(?=(?:the|what|when|where|who|how|which|why|if|whether)\b)",
]
_OPENING = re.compile("|".join(_OPENINGS))
_ASKED_AFTER = re.compile(
    r"[\s,.;:-]+(?:how|what)(?: (?:do|can|should|would|could|might|must) (?:i|we|you|one) "
    r"(?:do|go about|manage|achieve)(?: that| this| it| so)?)?[\s?!.]*$"
)
"""Of "I want to leave. How do I do that?" the end."""
_CLOSING = re.compile(r"[\s,.!?]*\b(?:please|thanks|thank you|for me|if possible|do you know|exactly)?[\s.!?]*$")
_ADJECTIVE = r"(?:(?:best|easiest|right|proper|correct|simplest|recommended|usual|quickest) )?"
_REWORDED = [
    (rf"(?:what(?:'s| is| are| would be) |which (?:is|are) )?(?:the |a |some |your )?{_ADJECTIVE}"
     r"(?:ways?|steps|methods?|process|procedures?|approach|instructions?) (?:needed |required |involved )?"
     r"(?:for (?:me|us|someone|one|you) )?(?:to|for|of|in)\b", "how do"),
    (r"\bhow long (?:does|will|would|did) it take (?:(?:for )?(?:me|you|us|one) )?to\b", "how long do i"),
    (r"(\d) ?([ap])\.? ?m\b\.?", r"\1 \2.m"),
    (r"\bin order to\b", "to"),
    (r"\bprior to\b", "before"),
    (r"\b(?:a lot|lots|plenty) of\b", "many"),
    (r"\b(?:due|owing) to\b|\bon account of\b", "because of"),
    (r"\b(?:do|does) (?:i|we|you|one) (?=(?:have|need) to\b)", "must i "),
    (r"\bis it (?:ok|okay|fine|alright|all right|possible|allowed|permitted|acceptable)"
     r"(?: (?:for|if) (?:me|us|one|i|we))?(?: to)?\b", "can i"),
    (r"\b(?:am i|are we) (?:able|allowed|permitted) to\b", "can i"),
    (r"\bhow (?:do|does|did|can|could|should|would|might|may|shall|to go about) "
     r"(?:i|we|you|one|someone|somebody|a person|people|anyone)\b(?: go about)?", "how do"),
    (r"\b(?:for what|what(?:'s| is| are| was| were) (?:the )?(?:main )?)reasons? (?:why|that|for|behind|of)?", "why "),
    (r"\bwhat (?:causes|caused|makes|made)\b", "why "),
    (r"\bwhat (?:do|should|must|can|would) (?:i|we|you|one) (?:(?:have|need) to )?do (?:in order )?to\b", "how do"),
    (r"\bhow to\b", "how do"),
    (r"\b(?:is|are|am) (.{0,40}?)\bgoing to\b", r"will \1"),
    (r"\bokay\b", "ok"),
    (r"\bhow far away\b|\bwhat(?:'s| is) the distance\b", "how far"),
    (r"\bhow expensive\b|\bwhat(?:'s| is) the (?:price|cost) of\b", "how many price"),
    (r"\b(?:what|how much) (do|does|did|would|will) (.{1,60}?) cost\b", r"how many \1 \2 price"),
    (r"\bwhat (is|are|was|were) ([^?.!,]{1,60}?) worth\b", r"how many \2"),
    (r"\b(?:what|which) (?:number|amount|quantity|count) of\b", "how many"),
    (r"\bhow (?:large|big)\b", "what size"),
    (r"\bhow (?:many times|frequently)\b", "how often"),
    (r"\bmost recent\b|\blatest\b", "last"),
    (r"\bhow come\b|\bfor what reason\b", "why"),
    (r"\b(?:on|at) (?:what|which) (?:time|date)\b|\bwhat (?:time|date)\b", "when"),
    (r"\b(?:in|at) (?:what|which) (?:place|location)\b|\bwhat(?:'s| is) the location of\b", "where"),
    (r"\bwhat(?:'s| is| are| was| were) the (?:total )?(?:number|amount|count|quantity) of\b|\bhow much\b", "how many"),
    (r"\bwhich (?:person|people)\b|\bwhat (?:person|people)\b", "who"),
    (r"\bwhat(?:'s| is) the (?:meaning|definition) of ([^?.!]+)", r"what does \1 mean"),
    (r"\bdefine ([^?.!]+)", r"what does \1 mean"),
]  # fmt: skip
_REWORDINGS = [(re.compile(pattern), instead) for pattern, instead in _REWORDED]
_POLAR = re.compile(
    r"(?:is|are|am|was|were|do|does|did|can|could|should|would|will|shall|has|have|had|may|might|must|if|whether|"
    r"isn't|aren't|wasn't|weren't|don't|doesn't|didn't|can't|couldn't|shouldn't|wouldn't|won't|hasn't|haven't)\b"
)
_BETWEEN = re.compile(
    r"\bbetween (?:the |an? )?([^\s,]+) and (?:the |an? )?([^\s,?!]+?)(?=[.?!,]*$| (?:in|on|for|at|when)\b)"
)
_FRONTED = re.compile(
    r"^([^,?.!]{1,60}), "
    r"((?:how|what|when|where|who|whom|whose|why|which|is|are|was|were|do|does|did|can|could|should|will|would|must|may)\b[^,]*)$"
)
"""Where or when, before the question: it is put after it."""


class Kind(Enum):
    """What an answer has to say."""

    MANNER = "how"
    AMOUNT = "how many"
    TIME = "when"
    PLACE = "where"
    PERSON = "who"
    REASON = "why"
    THING = "what"
    DEGREE = "how tall"
    POLAR = "whether"
    OPEN = "whatever is to be said of it"


_WORDS = {"when": Kind.TIME, "where": Kind.PLACE, "who": Kind.PERSON, "whom": Kind.PERSON, "whose": Kind.PERSON,
          "why": Kind.REASON, "what": Kind.THING, "which": Kind.THING}  # fmt: skip
_QUESTION = re.compile(r"\b(?:how(?: (\w+))?|when|where|who|whom|whose|why|what|which)\b")
_HOW = {"to": Kind.MANNER, "do": Kind.MANNER, "does": Kind.MANNER, "did": Kind.MANNER, "is": Kind.MANNER,
        "are": Kind.MANNER, "can": Kind.MANNER, "the": Kind.MANNER, "a": Kind.MANNER, "an": Kind.MANNER,
        "my": Kind.MANNER, "i": Kind.MANNER, "we": Kind.MANNER, "you": Kind.MANNER, "it": Kind.MANNER,
        "this": Kind.MANNER, "these": Kind.MANNER, "they": Kind.MANNER, "many": Kind.AMOUNT}  # fmt: skip
_ALIKE = {frozenset({one, Kind.OPEN}) for one in (Kind.THING, Kind.MANNER, Kind.PERSON, Kind.PLACE, Kind.TIME)}


def core(text: str) -> str:
    """The question in `text`, in lower case and plain apostrophes, in one wording of many that are in use."""
    plain = " ".join(text.lower().replace("’", "'").split())
    plain = _ASKED_AFTER.sub("", _CLOSING.sub("", plain))
    while (opening := _OPENING.match(plain)) and opening.end() < len(plain):
        plain = plain[opening.end() :].lstrip(" ,:")
    for pattern, instead in _REWORDINGS:
        plain = pattern.sub(instead, plain)
    plain = _BETWEEN.sub(lambda found: f"between {' and '.join(sorted(found.groups()))}", plain)
    return _FRONTED.sub(r"\2 \1", plain)


def kind_of(plain: str) -> Kind:
    """Of what `core` gave."""
    if _POLAR.match(plain):
        return Kind.POLAR
    if found := _QUESTION.search(plain):
        if found[0].startswith("how"):
            return _HOW.get(found[1] or "to", Kind.DEGREE if found[1] else Kind.MANNER)
        return _WORDS[found[0]]
    return Kind.OPEN


def alike(one: Kind, other: Kind) -> bool:
    """Whether questions of these kinds may ask for the same."""
    return one is other or frozenset({one, other}) in _ALIKE
