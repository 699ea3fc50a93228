"""BM25 over the texts of a segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.text_index import TextIndex

TEXTS = ["The cat sat on the mat", "A dog barked at the cat", None, "Nothing of the kind", "CAT cat cat"]


def _batch(texts: Sequence[str | None], field: str = "body") -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({field: pa.array(texts, pa.string())})


@pytest.fixture
def index() -> TextIndex:
    made = TextIndex(["body"])
    made.add(_batch(TEXTS))
    return made


def test_the_row_that_is_most_about_the_words_comes_first(index: TextIndex) -> None:
    found = index.search("cat", ["body"], 3, None)
    assert found.rows[0, 0] == 4
    assert set(found.rows[0].tolist()) == {0, 1, 4}
    assert (np.diff(found.scores[0]) <= 0).all()


def test_what_has_none_of_the_words_is_not_found_and_the_rest_is_padded(index: TextIndex) -> None:
    found = index.search("dog", ["body"], 3, None)
    assert found.rows[0].tolist() == [1, -1, -1]
    assert found.scores[0, 1:].tolist() == [-np.inf, -np.inf]


def test_words_that_mean_something_to_a_query_language_are_words(index: TextIndex) -> None:
    assert index.search('body:"cat" AND (-mat*) OR', ["body"], 5, None).rows[0, 0] in (0, 4)
    assert index.search("+ - && || ! ( ) { } [ ] ^ ~ * ?", ["body"], 5, None).rows[0].tolist() == [-1] * 5


def test_only_allowed_rows_are_found_however_many_better_ones_there_are() -> None:
    index = TextIndex(["body"])
    index.add(_batch(["word word word"] * 500 + ["one word among others that are longer than all of these"]))
    allowed = np.zeros(501, bool)
    allowed[500] = True
    assert index.search("word", ["body"], 1, allowed).rows[0, 0] == 500


def test_rows_that_were_added_since_the_mask_was_made_are_left_out(index: TextIndex) -> None:
    assert index.search("cat", ["body"], 3, np.ones(1, bool)).rows[0].tolist() == [0, -1, -1]


def test_rows_go_on_counting_when_more_are_added(index: TextIndex) -> None:
    index.add(_batch(["a zebra"]))
    assert index.search("Zebra", ["body"], 1, None).rows[0].tolist() == [5]


def test_only_the_fields_that_are_asked_for_are_looked_at() -> None:
    index = TextIndex(["title", "body"])
    index.add(pa.RecordBatch.from_pydict({"title": ["red", "blue"], "body": ["blue sky", "red rose"]}))
    assert index.search("red", ["title"], 2, None).rows[0].tolist() == [0, -1]
    assert set(index.search("red", ["title", "body"], 2, None).rows[0].tolist()) == {0, 1}


def test_no_rows_and_no_words_find_nothing(index: TextIndex) -> None:
    assert TextIndex(["body"]).search("cat", ["body"], 2, None).rows[0].tolist() == [-1, -1]
    assert index.search("", ["body"], 2, None).rows[0].tolist() == [-1, -1]
