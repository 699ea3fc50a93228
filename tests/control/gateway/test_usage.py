"""What was used, summed up by what somebody asks for."""

from __future__ import annotations

import pytest

from control.accounts import Counts, Usage
from control.gateway.usage import By, totals

USED = (
    (Usage("2026-11-02", "alice", "lab", "chat", "openai/gpt-4o"), Counts(requests=2, prompt=10, completion=4, cost=9)),
    (Usage("2026-11-01", "bob", "lab", "chat", "openai/gpt-4o"), Counts(requests=1, errors=1, cost=20)),
    (Usage("2026-11-01", "alice", "lab", "", "llama"), Counts(requests=5, prompt=100)),
)


@pytest.mark.parametrize(
    ("by", "requests"),
    [
        (By.KEY, {"bob": 1, "alice": 7}),
        (By.ORGANIZATION, {"lab": 8}),
        (By.MODEL, {"gpt-4o": 3, "llama": 5}),
        (By.ROUTE, {"chat": 3, "": 5}),
        (By.BACKEND, {"openai/gpt-4o": 3, "llama": 5}),
        (By.DAY, {"2026-11-01": 6, "2026-11-02": 2}),
    ],
)
def test_everything_is_summed_up_by_each_thing_in_its_order(by: By, requests: dict[str, int]) -> None:
    found = totals(USED, by)
    assert [(name, counts.requests) for name, counts in found] == list(requests.items())
    assert sum(counts.cost for _, counts in found) == 29


def test_nothing_used_is_nothing() -> None:
    assert totals((), By.KEY) == []
