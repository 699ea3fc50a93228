from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from control.kernel import calls


@dataclass(frozen=True)
class Actors:
    """Ray as `calls` sees it: the actor that is `found` by any name, and the `dead` ones."""

    found: list[str]
    dead: set[str]

    def get_actor(self, name: str, namespace: str) -> Any:
        return SimpleNamespace(embed=SimpleNamespace(remote=functools.partial(str, self.found[-1])))

    def get(self, answer: str, timeout: float) -> str:
        if answer in self.dead:
            raise ray.exceptions.ActorDiedError()
        return answer


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Actors]:
    actors = Actors(["first"], set())
    monkeypatch.setattr(ray, "get_actor", actors.get_actor)
    monkeypatch.setattr(ray, "get", actors.get)
    calls._find.cache_clear()
    yield actors
    calls._find.cache_clear()


def test_who_asks_finds_the_actor_that_has_a_dead_ones_name(actors: Actors) -> None:
    assert calls.ask("embedder", "embed", timeout_s=1) == "first"
    actors.dead.add("first")
    actors.found.append("second")
    assert calls.ask("embedder", "embed", timeout_s=1) == "second"


def test_a_call_is_made_once_whoever_died(actors: Actors) -> None:
    assert calls.call("ledger", "embed", timeout_s=1) == "first"
    actors.dead.add("first")
    actors.found.append("second")
    with pytest.raises(ray.exceptions.ActorDiedError):
        calls.call("ledger", "embed", timeout_s=1)
    assert calls.call("ledger", "embed", timeout_s=1) == "second"
