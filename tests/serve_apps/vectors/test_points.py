"""Points are written, read, changed and deleted as clients expect it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve_apps.vectors.api import Api, run, spec_of

WHOLE: dict[str, Any] = {
    "title": "Metropolis",
    "year": 1927,
    "rating": 8.25,
    "tags": ["silent", "city"],
    "seen": True,
    "shown": "1927-01-10T20:00:00Z",
    "place": {"lat": 52.5, "lon": 13.25},
}


def test_what_was_written_is_fetched_as_it_was() -> None:
    async def story() -> None:
        api = Api()
        told = await api.put({"id": "a", "vector": [3, 4], "metadata": WHOLE}, {"id": "b", "vector": [1, 0]})
        assert told == {"upserted": 2, "token": "0:1"}
        found = await api.ask("films/points/fetch", {"ids": ["b", "gone", "a"]})
        assert found == {
            "points": [
                {"id": "b", "metadata": {}, "vector": [1.0, 0.0]},
                {"id": "a", "metadata": WHOLE, "vector": [0.6, 0.8]},
            ]
        }
        bare = await api.ask("films/points/fetch", {"ids": ["a"], "include": []})
        assert bare == {"points": [{"id": "a"}]}

    run(story())


def test_of_an_id_that_comes_twice_the_last_row_is_written_and_the_answer_says_so() -> None:
    async def story() -> None:
        api = Api()
        rows = [("a", 1), ("b", 2), ("a", 3), ("a", 4)]
        told = await api.put(*({"id": one, "vector": [1, 1], "metadata": {"year": year}} for one, year in rows))
        assert (told["upserted"], told["duplicates"]) == (2, ["a"])
        assert {one: row["year"] for one, row in api.shards.rows["films"].items()} == {"a": 4, "b": 2}

    run(story())


def test_an_update_changes_some_fields_and_null_takes_a_value_away() -> None:
    async def story() -> None:
        api = Api()
        await api.put({"id": "a", "vector": [1, 0], "metadata": WHOLE}, {"id": "b", "vector": [1, 0]})
        changes = [
            {"id": "a", "metadata": {"year": None, "seen": False}},
            {"id": "b", "metadata": {"title": "Tabu"}},
            {"id": "gone", "metadata": {"title": "Nosferatu"}},
        ]
        told = await api.ask("films/points", {"points": changes}, "PATCH")
        assert told == {"updated": 2, "token": "0:2"}  # one write
        found = (await api.ask("films/points/fetch", {"ids": ["a", "b"], "include": ["metadata"]}))["points"]
        assert found[0]["metadata"] == {name: one for name, one in WHOLE.items() if name != "year"} | {"seen": False}
        assert found[1]["metadata"] == {"title": "Tabu"}

    run(story())


def test_rows_are_deleted_by_id_and_by_filter() -> None:
    async def story() -> None:
        api = Api()
        await api.put(*({"id": str(n), "vector": [1, 0], "metadata": {"year": n}} for n in range(9)))
        await api.ask("films/points/delete", {"ids": ["1", "1", "gone"]})
        await api.ask("films/points/delete", {"filter": {"year": {"$gte": 6}}})
        assert set(api.shards.rows["films"]) == {"0", "2", "3", "4", "5"}
        assert await api.ask("films/points/count", {"filter": {"year": {"$lt": 3}}}) == {"count": 2}

    run(story())


def test_pages_follow_each_other_in_the_order_of_the_ids() -> None:
    async def story() -> None:
        api = Api(films=spec_of(ids="integer"))
        await api.put(*({"id": n, "vector": [1, 0], "metadata": {"year": n % 2}} for n in (5, 3, 9, 1, 7, 2)))
        seen: list[int] = []
        after: int | None = None
        while True:
            body: dict[str, Any] = {"limit": 2, "after": after, "filter": {"year": 1}, "include": []}
            page = await api.ask("films/points/scroll", body)
            seen += [one["id"] for one in page["points"]]
            after = page["next"]
            if after is None:
                break
        assert seen == [1, 3, 5, 7, 9]

    run(story())


def test_a_filter_on_a_field_without_an_index_works_and_says_its_cost() -> None:
    async def story() -> None:
        api = Api()
        await api.put({"id": "a", "vector": [1, 0], "metadata": {"rating": 7.5}})
        told = await api.ask("films/points/count", {"filter": {"$not": {"rating": {"$lt": 7}}}})
        assert told["count"] == 1
        assert "'rating' has no index" in told["notes"][0]

    run(story())


def test_the_acknowledgement_that_a_write_asks_for_reaches_the_shards() -> None:
    async def story() -> None:
        api = Api()
        await api.put({"id": "a", "vector": [1, 0]}, acknowledge="all")
        await api.put({"id": "a", "vector": [1, 0]})
        assert api.shards.asked == ["all", None]

    run(story())


ROW: dict[str, Any] = {"id": "ok", "vector": [1, 0]}


def one(**point: Any) -> dict[str, Any]:
    return {"points": [ROW, {"id": "b", "vector": [1, 0], **point}]}


def field(**metadata: Any) -> dict[str, Any]:
    return one(metadata=metadata)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (one(vector=[1]), "points[1].vector: 1 numbers; expected 2: the collection's dimension"),
        (one(vector=[1, 1e39]), "points[1].vector[1]: no finite number of 32 bits; expected one"),
        (one(vector=[0, 0]), "points[1].vector: a vector of zeros; expected a direction: the metric is cosine"),
        (one(vector=["1", 2]), "points[1].vector[0]: expected `float`, got `str`"),
        (one(id=7), "points[1].id: 7; expected text: the collection's ids are of type string"),
        (one(id=None), "points[1].id: expected `int | str`, got `null`"),
        ({"points": [{"id": "a"}]}, "points[0].vector: nothing; expected 2 numbers"),
        (field(jear=1), "points[1].metadata.jear: no field 'jear'; expected one of title, year"),
        (field(jear=1), "did you mean 'year'?"),
        ({"points": [ROW, {"id": "b", "metadata": {"jear": 1}}]}, "points[1].metadata.jear: no field 'jear'"),
        ({"points": [ROW, {"id": "b", "metadata": {"jear": 1}}]}, "did you mean 'year'?"),
        (field(year="1927"), "points[1].metadata.year: '1927'; expected a whole number of 64 bits: year is of type"),
        (field(year=2**63), "points[1].metadata.year: 9223372036854775808; expected a whole number of 64 bits"),
        (field(year=True), "points[1].metadata.year: true; expected a whole number"),
        (field(year=1.5), "points[1].metadata.year: 1.5; expected a whole number"),
        (field(rating=[1]), "points[1].metadata.rating: a list; expected a number"),
        (field(seen="yes"), "points[1].metadata.seen: 'yes'; expected true or false"),
        (field(title=3), "points[1].metadata.title: 3; expected text"),
        (field(tags="silent"), "points[1].metadata.tags: 'silent'; expected a list: tags has many values"),
        (field(tags=["a", 1]), "points[1].metadata.tags[1]: 1; expected text"),
        (field(tags=["a", None]), "points[1].metadata.tags[1]: nothing; expected text"),
        (field(shown="yesterday"), "points[1].metadata.shown: 'yesterday'; expected an instant such as"),
        (field(place={"lat": 91, "lon": 0}), "points[1].metadata.place.lat: 91; expected a mapping of lat"),
        (field(place={"lat": 9}), "points[1].metadata.place: a mapping; expected a mapping of lat"),
        (one(text="words"), "points[1].text: a collection without an embedding"),
        ({"points": []}, "points: expected `array` of length >= 1"),
        ({"points": [ROW], "acknowledge": "most"}, "acknowledge: invalid enum value 'most'"),
        ({"points": [ROW], "timeout_ms": 0}, "timeout_ms: expected `int` >= 1"),
        ({"pionts": [ROW]}, "the body: object contains unknown field `pionts`"),
        ([], "the body: expected `object`, got `array`"),
        (b"{", "The request body is not valid JSON"),
        (b'{"points": [{"id": "a", "vector": [NaN, 1]}]}', "The request body is not valid JSON"),
        (b'{"points": [{"id": "a", "metadata": {"year": ' + b"[" * 100_000, "The request body is not valid JSON"),
        (b"\xff\xfe", "The request body is not valid JSON"),
    ],
)
def test_a_batch_with_anything_wrong_is_refused_as_a_whole_with_the_row_and_the_field(body: Any, message: str) -> None:
    async def story() -> None:
        api = Api()
        assert message in await api.refused("films/points", body)
        assert not api.shards.rows["films"]

    run(story())


@pytest.mark.parametrize(
    ("path", "method", "body", "message"),
    [
        ("points/delete", "POST", {}, "ids: neither of ids and filter; expected one of them"),
        ("points/delete", "POST", {"ids": [], "filter": {}}, "ids: both of ids and filter"),
        ("points/delete", "POST", {"ids": [1]}, "ids[0]: 1; expected text"),
        ("points/delete", "POST", {"filter": {"jear": 1}}, "filter.jear: no field 'jear'"),
        ("points/fetch", "POST", {}, "the body: object missing required field `ids`"),
        ("points/fetch", "POST", {"ids": ["a"], "include": ["all"]}, "include[0]: invalid enum value 'all'"),
        ("points/scroll", "POST", {"limit": 0}, "limit: expected `int` >= 1"),
        ("points/scroll", "POST", {"after": 3}, "after: 3; expected text"),
        ("points", "PATCH", {"points": [{"id": "a", "metadata": {}}]}, "points[0].metadata: nothing; expected a field"),
        ("points", "PATCH", {"points": [{"id": "a", "metadata": {"year": "x"}}]}, "points[0].metadata.year: 'x'"),
    ],
)
def test_other_requests_are_refused_in_the_same_words(path: str, method: str, body: Any, message: str) -> None:
    async def story() -> None:
        assert message in await Api().refused(f"films/{path}", body, method)

    run(story())


def test_a_changed_row_is_named_by_its_place_in_the_request_whatever_changes_beside_it() -> None:
    async def story() -> None:
        changes = [{"id": "a", "metadata": {"title": "x"}}, {"id": "b", "metadata": {"year": "x"}}]
        assert "points[1].metadata.year: 'x'" in await Api().refused("films/points", {"points": changes}, "PATCH")

    run(story())


def test_a_long_vector_is_refused_where_distances_would_not_fit() -> None:
    async def story() -> None:
        api = Api(films=spec_of(metric="l2"))
        body = {"points": [{"id": "a", "vector": [1e19, 0]}]}
        assert "points[0].vector: a vector of length 1e+19" in await api.refused("films/points", body)
        await api.put({"id": "a", "vector": [0, 0]})

    run(story())
