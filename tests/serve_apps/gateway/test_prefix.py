"""Which prompts begin alike."""

from typing import Any

import pytest

from serve_apps.gateway.prefix import MESSAGES, PREFIX_CHARACTERS, PREFIX_TOKENS, prefix_draw

LONG = "x" * PREFIX_CHARACTERS


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


SYSTEM, ASKED, ANSWERED = said("system", "Be brief."), said("user", "Hi"), said("assistant", "Hello")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([SYSTEM, ASKED], [SYSTEM, said("user", "Bye")]),
        ([SYSTEM, ASKED], [said("system", [{"type": "text", "text": "Be brief."}]), ASKED]),
        ([SYSTEM, said("developer", "More."), ASKED], [SYSTEM, said("developer", "More.")]),
        ([ASKED], [ASKED, ANSWERED, said("user", "And now?")]),
        ([said("system", ""), ASKED], [ASKED, ANSWERED]),
        ([said("system", LONG + "a")], [said("system", LONG + "b")]),
        ([said("system", LONG), said("system", "a")], [said("system", LONG), said("system", "b")]),
        (LONG + "a", LONG + "b"),
        ([LONG + "a", "c"], [LONG + "b"]),
        ([7] * PREFIX_TOKENS + [1], [7] * PREFIX_TOKENS + [2]),
        ([[7, 8], [9]], [7, 8]),
    ],
)
def test_these_begin_alike(one: Any, other: Any) -> None:
    assert prefix_draw(one) is not None
    assert prefix_draw(one) == prefix_draw(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([SYSTEM, ASKED], [said("system", "Be long."), ASKED]),
        ([SYSTEM, ASKED], [SYSTEM, said("developer", "More."), ASKED]),
        ([ASKED], [said("user", "Bye")]),
        ("Hi", "Bye"),
        ([1, 2], [1, 3]),
    ],
)
def test_these_do_not(one: Any, other: Any) -> None:
    assert prefix_draw(one) != prefix_draw(other)


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        "",
        [],
        7,
        {},
        [[]],
        [None],
        [{}],
        [said("user", None)],
        [said("user", [7, {"type": "x"}])],
        [[None]],
    ],
)
def test_what_has_no_beginning_has_none(nothing: Any) -> None:
    assert prefix_draw(nothing) is None


def test_no_more_than_a_bounded_part_of_a_prompt_is_looked_at() -> None:
    class Counted(list[Any]):
        looked_at = 0

        def __getitem__(self, index: Any) -> Any:
            found = super().__getitem__(index)
            Counted.looked_at += len(found) if isinstance(index, slice) else 1
            return found

    prefix_draw(Counted([said("system", "")] * 100_000))
    assert Counted.looked_at <= MESSAGES + 1


def test_what_no_encoding_takes_has_a_beginning_too() -> None:
    assert prefix_draw([said("user", "\ud800")]) is not None
