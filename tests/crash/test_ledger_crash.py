"""A customer has money left for 500 requests, and sends 800 at once to four replicas. Machines die meanwhile: replicas
with money in hand, the ledger in the middle of a write. The bill must not be above the budget by a single unit.
"""

from __future__ import annotations

import os
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import pytest

from control.kernel.store import Store
from tests.crash.gateways import AT_ONCE, COST, Place, kill, start_ledger, start_replica

SEEDS = int(os.environ.get("BIPLANE_CRASH_SEEDS", "5"))
REPLICAS = 4
BUDGET = 500 * COST
SECONDS = 3.0
"""In which processes are killed; without, all is spent in about so long."""
LEAST_KILLS = 5
"""However long they take on a busy machine."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    Store(f"sqlite:///{tmp_path}/biplane.db").close()
    return Place(tmp_path, BUDGET)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whoever_is_killed_the_budget_is_not_exceeded(place: Place, seed: int) -> None:
    random = Random(seed)

    def start(number: int) -> BaseProcess:
        return start_replica(place, random.getrandbits(32)) if number else start_ledger(place)

    processes = [start(number) for number in range(1 + REPLICAS)]
    try:
        end = time.monotonic() + SECONDS
        kills = 0
        while time.monotonic() < end or kills < LEAST_KILLS:
            time.sleep(random.uniform(0.02, 0.5))
            victim = random.choice([0, 0, *range(1, 1 + REPLICAS)])
            kill(processes[victim])
            kills += 1
            processes[victim] = start(victim)
        time.sleep(1.0)
    finally:
        for process in processes:
            kill(process)
    assert BUDGET * 0.5 < place.billed() <= BUDGET


def test_nobody_is_refused_while_there_is_money_left(place: Place) -> None:
    ledger = start_ledger(place)
    replicas = [start_replica(place, seed) for seed in range(REPLICAS)]
    try:
        for replica in replicas:
            replica.join(30.0)
            assert replica.exitcode == 0
    finally:
        for process in (ledger, *replicas):
            kill(process)
    assert place.ends.stat().st_size == REPLICAS * AT_ONCE
    assert BUDGET * 0.95 <= place.billed() <= BUDGET
