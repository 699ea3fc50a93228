"""Questions with other wordings of each, and near-duplicates that ask for something else. Seeded.

A family is one question of one domain: ways to ask it, ways to ask the contrary, and what its slots may be filled with.
The guard was written looking at what it got wrong of the families of even place, later of those of odd place and of the
looked at. The fresh ones (`cache_fresh.py`) were measured and never looked at.
"""

# ruff: noqa: E501  (a question a line)

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scripts.bench.cache_family import SLOTS, Family, family
from scripts.bench.cache_fresh import FRESH

Half = Literal["seen", "held out", "looked at", "fresh"]


@dataclass(frozen=True)
class Pair:
    """`what` is the difference: wording, name, number, negation, unit, date, direction, degree or an opposite."""

    one: str
    other: str
    what: str


FAMILIES = (
    family("geography", """What is the capital of {name}?
What's {name}'s capital city?
Tell me the capital of {name}.
Which city is the capital of {name}?
Can you tell me what the capital city of {name} is?""", "What is not the capital of {name}?",
            name="France|Germany|Peru|Kenya|Japan|Norway|Austria|Australia"),
    family("cooking", """How long should I boil {n} eggs?
How long do I need to boil {n} eggs?
For how long should {n} eggs be boiled?
How long does it take to boil {n} eggs?
What is the boiling time for {n} eggs?""", "How long should I not boil {n} eggs?", n="2|3|4|6|8|10|twelve"),
    family("databases", """How do I create an index in {name}?
How can I create an index in {name}?
What is the way to create an index in {name}?
What are the steps to create an index in {name}?
Please explain how to make an index in {name}.""", "How do I avoid an index in {name}?\nWhy should I not create an index in {name}?",
            name="PostgreSQL|MySQL|MongoDB|SQLite|Oracle"),
    family("medicine", """Can I take {name} with alcohol?
Is it OK to take {name} with alcohol?
Is it safe to drink alcohol while taking {name}?
May I drink alcohol when I am on {name}?
Is taking {name} with alcohol okay?""", "Can I take {name} without alcohol?\nCan I not take {name} with alcohol?",
            name="ibuprofen|paracetamol|aspirin|amoxicillin|naproxen"),
    family("accounts", """How do I reset my {name} password?
How can I reset my password for {name}?
What are the steps to reset my {name} password?
I forgot my {name} password, how do I reset it?
I'd like to know how to reset the password of my {name} account.""", "How do I reset my {name} account without a password?",
            name="Gmail|GitHub|Netflix|Amazon|Slack"),
    family("history", """When did {name} die?
In what year did {name} die?
What year did {name} die?
What is the date of {name}'s death?
Do you know when {name} died?""", "When did {name} not die?", name="Napoleon|Mozart|Cleopatra|Newton|Lincoln"),
    family("programming", """How do I sort a list of {n} items in {name}?
How can I sort a list of {n} elements in {name}?
What is the best way to sort a list with {n} items in {name}?
In {name}, how do I sort a list of {n} items?
Could you show me how to sort a list of {n} items in {name}?""", "How do I keep a list of {n} items unsorted in {name}?",
            name="Python|Java|Rust|Go|Kotlin", n="10|100|500|1,000"),
    family("travel", """How much does a train from {name} to Berlin cost?
What does a train from {name} to Berlin cost?
What is the price of a train from {name} to Berlin?
How expensive is a train from {name} to Berlin?
How much is a train ticket from {name} to Berlin?""", "How much does a trip from {name} to Berlin cost without a train?",
            name="Paris|Prague|Vienna|Hamburg|Warsaw"),
    family("finance", """How many {a} dollars do I get for {n} euros?
How much is {n} euros in {a} dollars?
What are {n} euros worth in {a} dollars?
How many {a} dollars are {n} euros?
Convert {n} euros to {a} dollars.""", "How many {a} dollars do I not get for {n} euros?",
            a="US|Canadian|Australian", n="20|50|75|100|250"),
    family("space", """How far is {name} from the Sun?
What is the distance from {name} to the Sun?
How far away is {name} from the Sun?
What's the distance between {name} and the Sun?
Tell me how far {name} is from the Sun.""", "How far is the Sun not from {name}?", name="Mars|Venus|Jupiter|Neptune|Saturn|Mercury"),
    family("literature", """Who wrote {name}?
Who is the author of {name}?
Who was {name} written by?
Can you tell me who wrote {name}?
Tell me the author of {name}.""", "Who did not write {name}?", name="Hamlet|Faust|Ulysses|Emma|Dracula"),
    family("devops", """How do I restart a {name} container?
How can I restart a {name} container?
What command restarts a {name} container?
How would I go about restarting a {name} container?
What's the command to restart a {name} container?""", "How do I update a {name} container without restarting it?\nHow do I never restart a {name} container?",
            name="Docker|Podman|Redis|nginx"),
    family("gardening", """How often should I water {name} plants?
How often do {name} plants need water?
How frequently should {name} plants be watered?
How often do I have to water my {name} plants?
How many times should I water {name} plants?""", "How often should I not water {name} plants?", name="tomato|basil|aloe|pepper|mint"),
    family("law", """What is the notice period after {n} years of employment in {name}?
How long is the notice period after {n} years of employment in {name}?
What notice period applies after {n} years of work in {name}?
After {n} years of employment in {name}, what is the notice period?
Tell me the notice period in {name} after {n} years of employment.""", "What is the notice period without {n} years of employment in {name}?",
            n="2|5|8|ten|15", name="Germany|Spain|Ireland|Italy"),
    family("support", """How do I cancel my {name} subscription?
How can I cancel my {name} subscription?
I want to cancel my {name} subscription.
What do I have to do to cancel my {name} subscription?
How do I end my subscription to {name}?""", "How do I not cancel my {name} subscription?\nHow do I keep my {name} subscription without cancelling?",
            name="Spotify|Netflix|Hulu|Disney"),
    family("weather", """Will it rain in {name} tomorrow?
Is it going to rain tomorrow in {name}?
Is rain expected in {name} tomorrow?
Tomorrow, will it rain in {name}?
Can you tell me if it will rain tomorrow in {name}?""", "Will it not rain in {name} tomorrow?\nWill it stay without rain in {name} tomorrow?",
            name="London|Madrid|Oslo|Lima|Seattle"),
    family("sports", """Who won the {n} World Cup?
Which team won the {n} World Cup?
Who was the winner of the World Cup in {n}?
Who won the World Cup in {n}?
Tell me who won the {n} World Cup.""", "Who did not win the {n} World Cup?", n="1998|2002|2006|2010|2014"),
    family("chemistry", """What is the boiling point of {name}?
At what temperature does {name} boil?
At which temperature does {name} start to boil?
Tell me the boiling point of {name}.
What's {name}'s boiling point?""", "What is not the boiling point of {name}?", name="ethanol|water|methanol|acetone|benzene"),
    family("git", """How do I undo the last {n} commits in git?
How can I undo the last {n} commits in git?
How do I revert the most recent {n} commits in git?
In git, how do I undo the last {n} commits?
What's the way to undo my last {n} git commits?""", "How do I keep the last {n} commits in git and never undo them?", n="2|3|4|five|7"),
    family("physics", """Why is the {name} blue?
What makes the {name} blue?
What is the reason that the {name} is blue?
How come the {name} is blue?
Can you explain why the {name} is blue?""", "Why is the {name} not blue?\nWhy isn't the {name} blue?", name="sky|sea|flame|ice"),
    family("shopping", """What is the return policy for {name} orders after {n} days?
Can you explain the return policy for {name} orders after {n} days?
Tell me the return policy of {name} for orders after {n} days.
What's {name}'s return policy for orders after {n} days?
After {n} days, what is the return policy for {name} orders?""", "What is the return policy for {name} orders not after {n} days?",
            name="Zalando|Ikea|Walmart|Target", n="14|30|60|90"),
    family("health", """How many calories are in {n} {name}?
What is the number of calories in {n} {name}?
How many calories do {n} {name} have?
Tell me how many calories {n} {name} contain.
{n} {name}: how many calories?""", "How many calories are not in {n} {name}?", n="2|3|5|ten", name="apples|bananas|eggs|cookies"),
    family("language", """How do you say thank you in {name}?
How can I say thank you in {name}?
What is the way to say thank you in {name}?
In {name}, how do I say thank you?
Teach me how to say thank you in {name}.""", "How do you not say thank you in {name}?", name="Spanish|Korean|Polish|Greek|Turkish"),
    family("cloud", """What is the maximum size of a {name} bucket?
What's the max size for a {name} bucket?
How large can a {name} bucket be at most?
Tell me the maximum size of a {name} bucket.
What is the size limit of a {name} bucket?""", "What is the maximum size of a {name} disk and not of a bucket?",
            name="S3|GCS|MinIO|Ceph"),
)  # fmt: skip


LOOKED_AT = (
    family("networking", """How do I open port {n} in the firewall on {name}?
How can I open port {n} on the {name} firewall?
What are the steps to open port {n} in the {name} firewall?
Please tell me how to open port {n} in the firewall of {name}.
On {name}, how do I open port {n} in the firewall?""", "How do I never open port {n} in the firewall on {name}?", n="80|443|8080|22", name="Ubuntu|Debian|Windows|Fedora"),
    family("music", """Who composed {name}?
Who is the composer of {name}?
Tell me who composed {name}.
Do you know who composed {name}?
Which composer wrote {name}?""", "Who did not compose {name}?", name="Carmen|Aida|Tosca|Fidelio|Norma"),
    family("pets", """Can dogs eat {name}?
Is it safe for dogs to eat {name}?
Can I give my dog {name}?
Are {name} safe for dogs to eat?
Can I let my dog eat {name}?""", "Can dogs not eat {name}?\nCan't dogs eat {name}?", name="grapes|carrots|apples|onions|mushrooms"),
    family("visas", """Do citizens of {name} need a visa for a stay of {n} days in Brazil?
Does a citizen of {name} need a visa to stay in Brazil for {n} days?
Is a visa required for citizens of {name} who stay in Brazil for {n} days?
Is a visa needed for {name} citizens staying {n} days in Brazil?
I want to know if citizens of {name} need a visa for {n} days in Brazil.""", "Do citizens of {name} need no visa for a stay of {n} days in Brazil?",
            name="Canada|India|Mexico|Egypt", n="10|30|90|120"),
    family("email", """How do I attach a file to an email in {name}?
How can I attach a file to an email in {name}?
What's the way to add a file to an email in {name}?
In {name}, how do I attach a file to a message?
Show me how to attach a file to an email in {name}.""", "How do I send an email in {name} without attaching a file?", name="Outlook|Gmail|Thunderbird|Proton"),
    family("biology", """How many {a} does a {name} have?
What is the number of {a} of a {name}?
How many {a} do {name}s have?
What number of {a} does a {name} have?
Can you tell me how many {a} a {name} has?""", "How many {a} does a {name} not have?", a="legs|eyes|teeth|bones", name="spider|lobster|horse|shark|frog"),
)  # fmt: skip


def paraphrases(half: Half, count: int, seed: int) -> list[Pair]:
    draw = random.Random(seed)
    families = _half(half)
    found: list[Pair] = []
    while len(found) < count:
        chosen = families[len(found) % len(families)]
        filled = _filled(chosen, draw)
        one, other = draw.sample(chosen.asks, 2)
        found.append(Pair(one.format(**filled), other.format(**filled), "wording"))
    return found


def near_duplicates(half: Half, count: int, seed: int) -> list[Pair]:
    """Half of them differ in the wording as well."""
    draw = random.Random(seed)
    families = _half(half)
    turns = _turns(families, draw)
    return [next(turns) for _ in range(count)]


def _turns(families: Sequence[Family], draw: random.Random) -> Iterator[Pair]:
    while True:
        for chosen in families:
            filled = _filled(chosen, draw)
            ask = draw.choice(chosen.asks)
            again = draw.choice([ask, draw.choice(chosen.asks)])
            what, other = draw.choice(chosen.others)
            yield Pair(ask.format(**filled), other.format(**filled), what)
            for slot, values in chosen.slots.items():
                value = draw.choice([value for value in values if value != filled[slot]])
                yield Pair(ask.format(**filled), again.format(**(filled | {slot: value})), SLOTS.get(slot, "name"))


def _half(half: Half) -> Sequence[Family]:
    return {"seen": FAMILIES[0::2], "held out": FAMILIES[1::2], "looked at": LOOKED_AT, "fresh": FRESH}[half]


def _filled(family: Family, draw: random.Random) -> dict[str, str]:
    return {slot: draw.choice(values) for slot, values in family.slots.items()}
