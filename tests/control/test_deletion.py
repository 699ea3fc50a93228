"""What is not deleted just so: what users would miss."""

from __future__ import annotations

from typing import Any

import pytest

from control.deletion import in_use, observed
from control.kernel.store import Heartbeat, Object
from control.specs.load import load_text
from tests.control.registry.world import seen
from tests.control.router.world import deployment

NOW = 1000.0


def chat(*arms: dict[str, Any], adapters: tuple[str, ...] = ()) -> Object:
    listed = ", ".join(f"{{name: {name}, model: {name}}}" for name in adapters)
    (document,) = load_text(deployment(version=3) + f"  adapters: [{listed}]\n", "mine.yaml")
    spec = document.spec.model_dump(mode="json")
    return Object("Deployment", "chat", "u", 1, 1, spec, {"arms": list(arms)}, 0.0, 0.0)


@pytest.mark.parametrize("whole", [1.0, 100.0])
def test_a_deployment_that_serves_is_in_use_by_what_each_version_takes(whole: float) -> None:
    arms = [{"version": 4, "weight": 0.1 * whole}, {"version": 3, "weight": 0.6 * whole}]
    found = chat(*arms, {"version": 3, "weight": 0.3 * whole})
    assert in_use(found, (), NOW) == "deployment chat serves version 3 (90%) and version 4 (10%)"


def test_its_adapters_are_named_too() -> None:
    found = chat({"version": 3, "weight": 1.0}, adapters=("law", "tax"))
    assert in_use(found, (), NOW) == "deployment chat serves version 3 (100%), and the adapters law, tax"


def test_one_that_sleeps_is_in_use_while_somebody_may_wait_for_it() -> None:
    def woken(at: float, name: str = "chat") -> str:
        return in_use(chat(), (Heartbeat(f"wake:{name}", at, {}),), NOW)

    assert woken(NOW - 12) == "deployment chat was asked for 12 s ago"
    assert (woken(NOW - 61), woken(NOW, "chat2"), in_use(chat(), (), NOW)) == ("", "", "")


def test_a_version_that_serves_is_in_use_and_another_is_shown_the_way_out() -> None:
    stored = [Object("ModelVersion", f"chat@{n}", "u", 1, 1, seen(n).spec, {}, 0.0, 0.0) for n in (3, 4)]
    using = chat({"version": 3, "weight": 1.0})
    assert observed(stored[0], [*stored, using]).startswith("chat@3 is in use by deployment chat (production)")
    assert "biplane retire model/chat@4 --reason WHY" in observed(stored[1], [*stored, using])


def test_what_is_neither_is_not_in_use() -> None:
    (document,) = load_text(deployment(), "mine.yaml")
    queue = Object("Queue", "chat", "u", 1, 1, document.spec.model_dump(mode="json"), {}, 0.0, 0.0)
    assert in_use(queue, (), NOW) == ""
    assert observed(queue, ()) == "Queue chat is observed; it goes when what it shows goes"
