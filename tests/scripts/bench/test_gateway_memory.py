"""The gateway's bench of memory: its keys, who asks with which, and what it makes of the curves."""

from __future__ import annotations

import hashlib
from itertools import islice

import psutil
import pytest

from control.specs.api_key import ApiKey
from scripts.bench.gateway_memory import BAD_SHARE, Curve, asked_with, keys_of, told


def curve(*mib: float, warm: int) -> Curve:
    return Curve(psutil.Process(), list(mib), warm)


def test_keys_are_stored_as_the_planes_own_are_and_not_with_their_secrets() -> None:
    made = dict(keys_of(300))
    assert len({record.name for record in made.values()}) == 300
    for secret, record in made.items():
        stored = ApiKey.model_validate(record.spec)
        assert stored.sha256 == hashlib.sha256(secret.encode()).hexdigest()
        assert secret not in str(record)


def test_the_good_keys_take_turns_among_random_ones_of_which_none_is_good() -> None:
    asked = list(asked_with(["a", "b", "c"], 10_000))
    assert [secret for secret, good in islice(asked, 100) if good][:6] == ["a", "b", "c"] * 2
    bad = [secret for secret, good in asked if not good]
    assert len(bad) == len(set(bad) - {"a", "b", "c"}) == pytest.approx(10_000 * BAD_SHARE, rel=0.1)


def test_growth_is_the_most_after_it_was_warm_over_what_it_was_then() -> None:
    told_of = told({"replica": curve(50, 100, 101, 104, 102, warm=2), "ledger": curve(50, 40, 30, warm=2)}, 1234.56)
    assert told_of["memory_growth_percent_of"] == {"replica": 4.0, "ledger": -25.0}
    assert (told_of["memory_growth_percent"], told_of["memory_rps"]) == (4.0, 1234.6)


def test_a_run_that_ended_before_it_was_warm_tells_no_growth() -> None:
    with pytest.raises(ValueError, match="before it was warm"):
        told({"replica": curve(50, 100, warm=2)}, 1.0)


def test_a_sample_is_taken_of_the_process_itself() -> None:
    taken = curve(warm=0)
    taken.take(warm=False)
    taken.take(warm=True)
    assert (taken.warm, len(taken.mib)) == (1, 2)
    assert min(taken.mib) > 1
