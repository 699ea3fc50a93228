"""How deep JSON may be."""

import json
from typing import Any

import pytest

from serve_apps.gateway.nesting import MOST_NESTED, loaded


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
