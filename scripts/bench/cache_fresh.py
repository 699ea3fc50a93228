"""Questions as those of `cache_questions.py`, on other topics, written when the guard was finished and not looked at since.

Each also has questions that differ from the first in one other thing: a unit, a date, which of two is meant, a degree,
an opposite. Seeded there. What the guard says of any of these must not lead to a change of the guard: write others then.
"""

# ruff: noqa: E501  (a question a line)

from __future__ import annotations

from scripts.bench.cache_family import Family, family

FRESH: tuple[Family, ...] = (
    family("loans", """What is the monthly payment on a {n} dollar loan from {name}?
How much would I pay each month for a {n} dollar loan from {name}?
How high is the monthly rate for a loan of {n} dollars at {name}?
What's the monthly installment on a {name} loan of {n} dollars?
Tell me what I pay per month on a {n} dollar loan from {name}.""", """negation: What is the monthly payment on a {n} dollar loan not from {name}?
unit: What is the monthly payment on a {n} euro loan from {name}?
degree: What is the lowest monthly payment on a {n} dollar loan from {name}?
opposite: What is the yearly payment on a {n} dollar loan from {name}?""", n="5,000|10,000|25,000|fifty thousand", name="Chase|Barclays|Santander|Citibank"),
    family("ferries", """Is there a ferry from {a} to {b} on {d}?
Does a ferry run from {a} to {b} on {d}?
On {d}, is there a ferry from {a} to {b}?
Are there any ferries from {a} to {b} on {d}?
I'd like to know whether a ferry goes from {a} to {b} on {d}.""", """direction: Is there a ferry from {b} to {a} on {d}?
negation: Is there no ferry from {a} to {b} on {d}?
opposite: Is there a ferry from {a} to {b} before {d}?""", a="Dover|Piraeus|Split", b="Calais|Naxos|Ancona", d="Monday|Sunday|May 3|June 12"),
    family("kitchen", """At what temperature should I bake {name} for {n} minutes?
What temperature do I need to bake {name} for {n} minutes?
What oven temperature is right for baking {name} for {n} minutes?
How hot should the oven be to bake {name} for {n} minutes?
Which temperature should {name} be baked at for {n} minutes?""", """unit: At what temperature should I bake {name} for {n} hours?
negation: At what temperature should I not bake {name} for {n} minutes?
opposite: At what temperature should I cool {name} for {n} minutes?""", n="12|20|35|forty", name="brownies|baguettes|lasagna|meringues"),
    family("spreadsheets", """How do I freeze the top {n} rows in {name}?
How can I freeze the first {n} rows in {name}?
What's the easiest way to freeze the top {n} rows in {name}?
In {name}, how are the top {n} rows frozen?
I want to keep the top {n} rows frozen in {name}, how do I do that?""", """opposite: How do I unfreeze the top {n} rows in {name}?
opposite: How do I freeze the bottom {n} rows in {name}?
unit: How do I freeze the top {n} columns in {name}?
negation: How do I scroll in {name} without freezing the top {n} rows?""", n="2|3|four|6", name="Excel|LibreOffice|Numbers|Airtable"),
    family("inventions", """Who invented the {name}?
Who was the inventor of the {name}?
Which person invented the {name}?
By whom was the {name} invented?
Do you know who came up with the {name}?""", """negation: Who did not invent the {name}?
degree: Who invented the first commercial {name}?
opposite: Who banned the {name}?""", name="telephone|zipper|microscope|stethoscope|dishwasher"),
    family("mountains", """How high is {name} in {u}?
What is the height of {name} in {u}?
How tall is {name} in {u}?
How many {u} high is {name}?
Can you give me the height of {name} in {u}?""", """opposite: How deep is {name} in {u}?
degree: How much higher is {name} than others in {u}?
negation: How high is {name} not in {u}?""", name="Kilimanjaro|Denali|Elbrus|Aconcagua", u="meters|feet|yards"),
    family("kubernetes", """How do I scale a deployment to {n} replicas in {name}?
How can I scale a deployment in {name} to {n} replicas?
What is the command for scaling a deployment to {n} replicas in {name}?
How do I set the number of replicas of a deployment to {n} in {name}?
Show me how to scale my {name} deployment to {n} replicas.""", """direction: How do I scale a deployment from {n} replicas in {name}?
negation: How do I prevent a deployment from scaling to {n} replicas in {name}?
opposite: How do I delete a deployment with {n} replicas in {name}?""", n="2|3|five|8", name="Kubernetes|OpenShift|Nomad|Rancher"),
    family("pharmacy", """How many milligrams of {name} can I take per day?
What is the maximum daily dose of {name} in milligrams?
How many mg of {name} may I take a day?
How much {name} in milligrams can I take in one day?
How many milligrams of {name} am I allowed to take daily?""", """unit: How many grams of {name} can I take per day?
unit: How many milligrams of {name} can I take per week?
negation: How many milligrams of {name} can I not take per day?
opposite: How many milligrams of {name} must I take per day?""", name="cetirizine|loratadine|magnesium|melatonin"),
    family("taxes", """When is the deadline for filing taxes in {name} for {n}?
What is the tax filing deadline in {name} for {n}?
By when do I have to file my {n} taxes in {name}?
Until when can I file taxes for {n} in {name}?
What's the last day to file {n} taxes in {name}?""", """opposite: When is the earliest date for filing taxes in {name} for {n}?
negation: When is the deadline for not filing taxes in {name} for {n}?
degree: When is the extended deadline for filing taxes in {name} for {n}?""", n="2021|2022|2023|2024", name="Ohio|Texas|Oregon|Nevada"),
    family("cycling", """Is it faster to go by {a} or by {b} in Amsterdam?
Which is faster in Amsterdam, {a} or {b}?
Do I get around faster by {a} or by {b} in Amsterdam?
In Amsterdam, is it quicker to go by {a} or by {b}?
What is the faster way to travel in Amsterdam, {a} or {b}?""", """opposite: Is it slower to go by {a} or by {b} in Amsterdam?
degree: Is it as fast to go by {a} as by {b} in Amsterdam?
negation: Is it not faster to go by {a} or by {b} in Amsterdam?
name: Is it faster to go by {a} or by {b} in Rotterdam?""", a="bike|scooter|taxi", b="tram|metro|bus"),
    family("birds", """Where do {name} spend the winter?
Where do {name} go in winter?
In which countries do {name} overwinter?
What places do {name} go to for the winter?
Where can {name} be found during the winter?""", """opposite: Where do {name} spend the summer?
negation: Where do {name} not spend the winter?""", name="storks|swallows|cranes|robins"),
    family("elections", """Who did {a} defeat in the {n} election?
Whom did {a} beat in the {n} election?
In the {n} election, who did {a} defeat?
Who lost to {a} in the election of {n}?
Which candidate did {a} defeat in the {n} election?""", """direction: Who defeated {a} in the {n} election?
negation: Who did {a} not defeat in the {n} election?
opposite: Who did {a} support in the {n} election?""", a="Merkel|Obama|Macron|Trudeau", n="2008|2012|2017|2021"),
    family("phones", """How do I transfer photos from {a} to {b}?
How can I move my photos from {a} to {b}?
What is the best way to transfer pictures from {a} to {b}?
How do I get my photos from {a} onto {b}?
What are the steps for transferring photos from {a} to {b}?""", """direction: How do I transfer photos from {b} to {a}?
opposite: How do I delete photos transferred from {a} to {b}?
negation: How do I stop photos from being transferred from {a} to {b}?
name: How do I transfer contacts from {a} to {b}?""", a="iPhone|Pixel|Galaxy", b="Windows|Dropbox|iCloud"),
    family("parcels", """How long does a parcel from {a} to {b} take?
How many days does a parcel take from {a} to {b}?
How long will it take for a package to get from {a} to {b}?
What is the delivery time for a parcel from {a} to {b}?
How much time does a parcel from {a} need to reach {b}?""", """direction: How long does a parcel from {b} to {a} take?
degree: How long does an express parcel from {a} to {b} take?
negation: How long does a parcel not take from {a} to {b}?
opposite: How long does a letter from {a} to {b} take?""", a="Lisbon|Dublin|Vienna", b="Toronto|Sydney|Osaka"),
    family("schools", """Are children under {n} allowed to enter the {name}?
Can kids under {n} go into the {name}?
May children younger than {n} enter the {name}?
Is the {name} open to children under {n}?
Do they let children under {n} into the {name}?""", """opposite: Are children over {n} allowed to enter the {name}?
negation: Are children under {n} not allowed to enter the {name}?
opposite: Are children under {n} allowed to leave the {name}?
opposite: Are children under {n} required to enter the {name}?""", n="6|12|sixteen|18", name="casino|cinema|sauna|planetarium"),
    family("planets", """Which moon of {name} is the {a}?
What is the {a} moon of {name}?
What's {name}'s {a} moon?
What is the name of the {a} moon of {name}?
Out of all the moons of {name}, which is the {a}?""", """negation: Which moon of {name} is not the {a}?
degree: Which moon of {name} is the second {a}?
opposite: Which ring of {name} is the {a}?""", name="Jupiter|Saturn|Uranus|Neptune", a="largest|smallest|brightest|darkest"),
    family("libraries", """What does the function {name} return in {a}?
What is the return value of {name} in {a}?
In {a}, what does {name} return?
Which value does the function {name} return in {a}?
What do I get back from {name} in {a}?""", """negation: What does the function {name} not return in {a}?
opposite: What does the function {name} accept in {a}?
degree: What type does the function {name} return in {a}?""", name="strcmp|fopen|memcpy|realloc", a="C|Lua|Zig"),
    family("rent", """Can my landlord raise the rent by {n} percent in {name}?
Is my landlord allowed to increase the rent by {n} percent in {name}?
In {name}, may a landlord raise rent by {n} percent?
Is it legal for my landlord to raise my rent {n} percent in {name}?
Is a rent increase of {n} percent allowed in {name}?""", """opposite: Can my landlord lower the rent by {n} percent in {name}?
negation: Can my landlord not raise the rent by {n} percent in {name}?
unit: Can my landlord raise the rent by {n} dollars in {name}?
opposite: Must my landlord raise the rent by {n} percent in {name}?""", n="5|10|15|twenty", name="Berlin|Boston|Denver|Zurich"),
    family("houseplants", """Why are the leaves of my {name} turning yellow?
Why does my {name} have yellow leaves?
What causes yellow leaves on a {name}?
What's the reason my {name} leaves are turning yellow?
Why do the leaves on my {name} go yellow?""", """opposite: Why are the leaves of my {name} turning brown?
negation: Why are the leaves of my {name} not turning yellow?
opposite: Why are the roots of my {name} turning yellow?""", name="ficus|monstera|orchid|begonia"),
    family("conversion", """How many {u} are in {n} miles?
What are {n} miles in {u}?
How many {u} is {n} miles?
{n} miles is how many {u}?
Please tell me how many {u} there are in {n} miles.""", """direction: How many miles are in {n} {u}?
negation: How many {u} are not in {n} miles?
unit: How many {u} are in {n} square miles?
degree: How many more {u} are in {n} miles?""", u="kilometers|yards|furlongs", n="3|26|fifty|100"),
    family("opening", """What time does the {name} open on {d}?
When does the {name} open on {d}?
At what time does the {name} open on {d}?
From when is the {name} open on {d}?
What is the opening time of the {name} on {d}?""", """opposite: What time does the {name} close on {d}?
negation: What time does the {name} not open on {d}?
degree: What time does the {name} open earliest on {d}?
opposite: What time does the {name} open after {d}?""", name="library|pharmacy|zoo|aquarium", d="Saturday|Christmas Eve|Tuesday|July 4"),
)  # fmt: skip
