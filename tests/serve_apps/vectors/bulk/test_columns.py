"""Columns of a file become fields by their names, by what they are told to be, or the file is refused."""

from __future__ import annotations

from typing import Any

import pytest

from control.specs.collection import CollectionSpec
from serve_apps.vectors.bulk.columns import ImportRefused, columns_of

FIELDS = [{"name": "year", "type": "integer"}, {"name": "body", "type": "text"}]
SPEC = CollectionSpec.model_validate({"dimension": 2, "fields": FIELDS})
EMBEDS = CollectionSpec.model_validate({"dimension": 384, "fields": FIELDS, "embedding": {"field": "body"}})


def columns(*names: str, spec: CollectionSpec = SPEC, **given: Any) -> dict[str, str]:
    return columns_of(names, spec, given.get("id"), given.get("vector"), given.get("renames", {}))


def test_names_that_the_collection_knows_need_no_word() -> None:
    assert columns("year", "vector", "id") == {"year": "year", "vector": "vector", "id": "id"}


def test_options_name_ids_vectors_and_fields_and_leave_columns_out() -> None:
    found = columns("doc", "emb", "jahr", "x", id="doc", vector="emb", renames={"jahr": "year", "x": ""})
    assert found == {"doc": "id", "emb": "vector", "jahr": "year"}


def test_a_column_that_another_one_takes_the_place_of_is_left_out() -> None:
    assert columns("id", "doc", "vector", id="doc") == {"doc": "id", "vector": "vector"}


def test_texts_need_no_vectors_where_the_collection_makes_them() -> None:
    assert columns("body", spec=EMBEDS) == {"body": "body"}


@pytest.mark.parametrize(
    ("names", "given", "told"),
    [
        (("vector", "yaer"), {}, "column 'yaer': no field 'yaer'; did you mean 'year'?; --map yaer=FIELD renames it"),
        (("id", "embedding"), {"vector": "embeding"}, "no column 'embeding'; did you mean 'embedding'?"),
        (("id", "v"), {"renames": {"v": ""}}, "no column 'vector'; expected one of id, v to be named by --vector"),
        (("vector", "a", "b"), {"renames": {"a": "year", "b": "year"}}, "column 'b': 'year' a second time"),
        (("vector", "a"), {"renames": {"a": "jahr"}}, "no field 'jahr'"),
    ],
)
def test_what_fits_no_field_is_refused_with_the_nearest(names: Any, given: Any, told: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        columns(*names, **given)
    assert told in str(caught.value)


def test_neither_vectors_nor_texts_is_nothing() -> None:
    with pytest.raises(ImportRefused, match="neither a column 'vector' nor the text 'body'"):
        columns("year", spec=EMBEDS)
