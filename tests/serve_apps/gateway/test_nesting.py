"""How deep JSON may be."""

import json
from typing import Any

import pytest

from serve_apps.gateway.nesting import MOST_NESTED, loaded, loaded_strictly


def nested(depth: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("text", [False, True])
def test_json_may_be_so_deep_and_no_deeper(kind: type, text: bool) -> None:
    allowed = json.dumps([nested(MOST_NESTED - 1, kind)])
    assert loaded(allowed if text else allowed.encode()) == json.loads(allowed)
    for depth in (MOST_NESTED, 900, 100_000):
        raw = allowed.replace("1", "[" * (depth - MOST_NESTED + 1) + "1" + "]" * (depth - MOST_NESTED + 1))
        with pytest.raises(ValueError, match="nested more than 256 deep"):
            loaded(raw if text else raw.encode())


def test_wide_json_is_not_deep() -> None:
    assert loaded(json.dumps([[1]] * 1000)) == [[1]] * 1000


def test_what_is_no_json_is_told_as_before() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        loaded(b"[,")


@pytest.mark.parametrize("raw", [b"NaN", b"[-Infinity]", b'{"a": 1e999}', b"-1E+400"])
def test_a_number_that_json_does_not_have_is_refused_where_it_would_be_written_again(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"no number of JSON's|too large for a number"):
        loaded_strictly(raw)
    assert loaded(raw) is not None, "what a backend says is read all the same"


def test_numbers_and_encodings_are_read_strictly_as_they_are_otherwise() -> None:
    documents: tuple[object, ...] = ([1.5, -0.0, 1e300, 10**40, "NaN", "ä\ud83d"], {}, None)
    for document in documents:
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            raw = json.dumps(document).encode(encoding)
            assert loaded_strictly(raw) == loaded(raw) == document
