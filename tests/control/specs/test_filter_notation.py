"""Filters as people write them, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from control.specs.collection import CollectionSpec, MetadataField
from control.specs.filter_notation import MOST_CONDITIONS, MOST_DEPTH, MOST_VALUES, FilterError, parse_filter
from control.specs.vector_filter import EVERYTHING, And, Exists, Filter, GeoBox, In, Not, Or, Range, Words

SPEC = CollectionSpec(
    dimension=2,
    fields=(
        MetadataField(name="year", type="integer"),
        MetadataField(name="price", type="float"),
        MetadataField(name="tags", type="keyword", many=True),
        MetadataField(name="lang", type="keyword"),
        MetadataField(name="draft", type="boolean"),
        MetadataField(name="at", type="datetime"),
        MetadataField(name="place", type="geo"),
        MetadataField(name="body", type="text"),
    ),
)
BOX = {"south": -1, "west": 170, "north": 1.5, "east": -170}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({}, EVERYTHING),
        ({"year": 2000}, In("year", (2000,))),
        ({"year": 2000.0}, In("year", (2000,))),
        ({"draft": False}, In("draft", (False,))),
        ({"price": {"$eq": 3}}, In("price", (3.0,))),
        ({"lang": {"$ne": "de"}}, Not(In("lang", ("de",)))),
        ({"lang": {"$in": ["de", "en"]}}, In("lang", ("de", "en"))),
        ({"lang": {"$in": []}}, In("lang", ())),
        ({"lang": {"$nin": ["de"]}}, Not(In("lang", ("de",)))),
        ({"year": {"$gt": 1, "$lte": 5}}, Range("year", 1, 5, low_open=True)),
        ({"price": {"$gte": 1, "$lt": 5}}, Range("price", 1.0, 5.0, high_open=True)),
        ({"year": {"$lt": 5, "$ne": 3}}, And((Not(In("year", (3,))), Range("year", None, 5, high_open=True)))),
        ({"year": {"$exists": True}}, Exists("year")),
        ({"year": {"$exists": False}}, Not(Exists("year"))),
        ({"year": {"$not": {"$gt": 5}}}, Not(Range("year", 5, low_open=True))),
        ({"tags": "new"}, In("tags", ("new",))),
        ({"tags": {"$contains": "new"}}, In("tags", ("new",))),
        ({"body": {"$contains": "red Green"}}, Words("body", ("red Green",))),
        ({"place": {"$geo_box": BOX}}, GeoBox("place", -1.0, 170.0, 1.5, -170.0)),
        ({"at": "1970-01-01T00:00:01.5Z"}, In("at", (1_500_000,))),
        ({"at": "1970-01-01T01:00:00+01:00"}, In("at", (0,))),
        ({"at": {"$gte": 1.25}}, Range("at", 1_250_000)),
        ({"year": 1, "lang": "de"}, And((In("year", (1,)), In("lang", ("de",))))),
        ({"$or": [{"year": 1}, {"lang": "de"}]}, Or((In("year", (1,)), In("lang", ("de",))))),
        ({"$and": [{"year": 1}]}, And((In("year", (1,)),))),
        ({"$nor": [{"year": 1}]}, Not(Or((In("year", (1,)),)))),
        ({"$not": {"year": 1, "draft": True}}, Not(And((In("year", (1,)), In("draft", (True,)))))),
    ],
)
def test_the_notation_of_mongodb_is_understood(written: object, meant: Filter) -> None:
    assert parse_filter(written, SPEC) == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], "filter: a list; expected a mapping of fields and operators"),
        ({"yaer": 1}, "filter.yaer: no field 'yaer'; expected one of year, price, "),
        ({"yaer": 1}, "; did you mean 'year'?"),
        ({"$nott": {}}, "filter.$nott: no operator '$nott' without a field; expected one of "),
        ({"$nott": {}}, "; did you mean '$not'?"),
        ({"$or": {}}, "filter.$or: a mapping; expected a list of filters"),
        ({"$or": []}, "filter.$or: an empty list; expected a list of filters"),
        (
            {"$or": [{}, {"year": {"$gt": "x"}}]},
            "filter.$or[1].year.$gt: 'x'; expected a whole number of 64 bits: year",
        ),
        ({"year": True}, "filter.year.$eq: true; expected a whole number"),
        ({"year": 1.5}, "filter.year.$eq: 1.5; expected a whole number"),
        ({"year": 2**63}, "expected a whole number of 64 bits"),
        (
            {"year": None},
            "filter.year.$eq: nothing; expected a whole number of 64 bits: year is of type integer; {",
        ),
        (
            {"year": [1, 2]},
            "filter.year.$eq: a list; expected a whole number of 64 bits: year is of type integer; $in ",
        ),
        ({"year": {}}, "filter.year: no operator; expected one of $eq, "),
        (
            {"year": {"$gtr": 1}},
            "filter.year: '$gtr' on a field of type integer; expected one of $eq, $ne, $in, ",
        ),
        ({"year": {"$gtr": 1}}, "; did you mean '$gt'?"),
        ({"year": {"$gt": 1, "$gte": 2}}, "filter.year: $gt and $gte; expected one of them"),
        ({"year": {"$in": 3}}, "filter.year.$in: 3; expected a list of values"),
        ({"year": {"$in": [3, "x"]}}, "filter.year.$in[1]: 'x'; expected a whole number"),
        ({"year": {"$exists": 1}}, "filter.year.$exists: 1; expected true or false"),
        ({"price": float("nan")}, "filter.price.$eq: nan; expected a number"),
        ({"price": 10**400}, "expected a number"),
        ({"draft": 0}, "filter.draft.$eq: 0; expected true or false"),
        (
            {"lang": {"$gt": "a"}},
            "filter.lang: '$gt' on a field of type keyword; expected one of $eq, $ne, $in, ",
        ),
        ({"lang": {"$contains": "a"}}, "filter.lang: '$contains' on a field of type keyword; expected"),
        ({"tags": {"$geo_box": BOX}}, "filter.tags: '$geo_box' on many values of type keyword; expected"),
        ({"body": "red"}, "filter.body: '$eq' on a field of type text; expected one of $contains, $exists, $not"),
        ({"body": {"$contains": " - "}}, "filter.body.$contains: ' - '; expected text with a word in it"),
        (
            {"at": "yesterday"},
            "filter.at.$eq: 'yesterday'; expected an instant such as 2026-11-28T09:30:00Z, or ",
        ),
        ({"at": "2026-02-30T00:00:00Z"}, "expected an instant"),
        ({"at": 1e18}, "expected an instant"),
        (
            {"place": {"$geo_box": 3}},
            "filter.place.$geo_box: 3; expected a mapping of south, west, north, east",
        ),
        (
            {"place": {"$geo_box": {**BOX, "nort": 1}}},
            "east, in degrees; did you mean 'north'?",
        ),
        ({"place": {"$geo_box": {"south": 1}}}, "filter.place.$geo_box: no west; expected"),
        (
            {"place": {"$geo_box": {**BOX, "north": 91}}},
            "filter.place.$geo_box.north: 91; expected degrees from -90",
        ),
        ({"place": {"$geo_box": {**BOX, "south": 2}}}, "south 2.0 above north 1.5"),
        ({"lang": {"$in": ["a"] * (MOST_VALUES + 1)}}, f"more than {MOST_VALUES} values in lists"),
        ({"$or": [{"year": 1}] * MOST_CONDITIONS}, f"more than {MOST_CONDITIONS} conditions"),
    ],
)
def test_a_filter_that_is_none_says_where_what_was_found_and_what_was_expected(written: object, said: str) -> None:
    with pytest.raises(FilterError) as refused:
        parse_filter(written, SPEC)
    assert said in str(refused.value)


@pytest.mark.parametrize("level", [{"$not": None}, {"year": {"$not": None}}])
def test_no_depth_of_nesting_breaks_the_parser(level: dict[str, Any]) -> None:
    body: Any = {"year": 1}
    if "year" in level:
        inner: Any = {"$gt": 1}
        for _ in range(10 * MOST_DEPTH):
            inner = {"$not": inner}
        body = {"year": inner}
    else:
        for _ in range(10 * MOST_DEPTH):
            body = {"$not": body}
    with pytest.raises(FilterError, match=f"more than {MOST_DEPTH} levels"):
        parse_filter(body, SPEC)
