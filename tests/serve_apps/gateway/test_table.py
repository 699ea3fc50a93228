"""The table as the control plane writes it: what is read of it, and what is no table."""

import json
import math
from typing import Any

import pytest

from serve_apps.gateway.table import Affinity, Arm, Model, Replica, Shadow, Sticky, parse_table
from tests.serve_apps.gateway.upstream import (
    arm,
    arm_of,
    table,
)


def test_a_table_of_the_first_form_is_read_with_what_it_leaves_out() -> None:
    document = json.loads(table("http://127.0.0.1:1/llm/tiny/3/"))
    del document["max_body_bytes"]
    parsed = parse_table(json.dumps(document).encode())
    assert parsed.models == {"tiny": Model((Arm("3", 1.0, (Replica("", "http://127.0.0.1:1/llm/tiny/3"),)),))}
    assert parsed.max_body_bytes == 1 << 20


def test_an_arm_of_the_form_before_replicas_is_an_arm_with_one() -> None:
    shadow = {"version": 4, "url": "http://s/", "app": "llm:s", "share": 0.25}
    wanted = {"arms": [arm("http://a", app="llm:a", name="warm")], "sticky": "session", "shadows": [shadow]}
    parsed = parse_table(table("", models={"m": wanted}))
    arms = (Arm("3", 1.0, (Replica("llm:a", "http://a"),), "warm"),)
    shadows = (Shadow(Arm("4", 0.0, (Replica("llm:s", "http://s"),)), 0.25),)
    assert parsed.models == {"m": Model(arms, Sticky.SESSION, shadows)}


def test_a_table_names_replicas_shadows_affinity_and_how_long_a_model_takes_to_wake() -> None:
    wanted = {
        "arms": [arm_of(("llm:a:0", "http://a/0"), ("llm:a:1", "http://a/1/"), name="warm"), arm_of(version=4)],
        "shadows": [{"version": "5", "share": 0.5, "replicas": [{"app": "llm:s", "url": "http://s"}]}],
        "sticky": "user",
        "affinity": "prefix",
        "wakes_s": 90,
        "adapters": {"polite": {}},
    }
    (model,) = parse_table(table("", models={"m": wanted})).models.values()
    warm = Arm("3", 1.0, (Replica("llm:a:0", "http://a/0"), Replica("llm:a:1", "http://a/1")), "warm")
    shadow = Shadow(Arm("5", 0.0, (Replica("llm:s", "http://s"),)), 0.5)
    assert model == Model((warm, Arm("4", 1.0, ())), Sticky.USER, (shadow,), Affinity.PREFIX, 90.0)


@pytest.mark.parametrize(
    ("changes", "asleep"),
    [
        ({"wakes_s": 9, "arms": []}, True),
        ({"wakes_s": 9, "arms": [arm_of(), arm_of(version=4)]}, True),
        ({"wakes_s": 9, "arms": [arm_of(("a", "http://a"), weight=0)]}, True),
        ({"wakes_s": 9, "arms": [arm_of(), arm_of(("a", "http://a"))]}, False),
        ({"wakes_s": 0, "arms": []}, False),
        ({"arms": []}, False),
    ],
)
def test_a_model_that_may_wake_and_has_nobody_to_answer_is_asleep(changes: dict[str, Any], asleep: bool) -> None:
    (model,) = parse_table(table("", models={"m": changes})).models.values()
    assert model.asleep is asleep


@pytest.mark.parametrize(
    "changes",
    [
        {"wakes_s": -1},
        {"wakes_s": math.inf},
        {"wakes_s": math.nan},
        {"wakes_s": "soon"},
        {"affinity": "session"},
        {"sticky": "prefix"},
        {"arms": [arm_of(version="3", replicas=None)]},
        {"arms": [arm_of(version="3", replicas=[{"app": "a"}])]},
        {"arms": [arm_of(version="3", replicas=["http://a"])]},
        {"arms": [{"weight": 1.0, "replicas": []}]},
    ],
)
def test_what_is_no_table_is_not_taken(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        parse_table(table("", models={"m": {"arms": [], **changes}}))
