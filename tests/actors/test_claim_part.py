"""Workers of one lease part its devices among themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.claim_part import claim_part
from actors.claims import DeviceInUse, claims_in, hold

ME = "app.chat"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")


def test_each_gets_the_next_part_that_is_free_whole(tmp_path: Path) -> None:
    parts = [["GPU-a", "GPU-b"], ["GPU-c", "GPU-d"]]
    assert [claim_part(tmp_path, parts, ME) for _ in parts] == [("GPU-a", "GPU-b"), ("GPU-c", "GPU-d")]
    assert {one.holder for one in claims_in(tmp_path)} == {ME}


def test_no_two_get_the_same_however_they_race(tmp_path: Path) -> None:
    parts = [[f"SIM-{number}"] for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda _: claim_part(tmp_path, parts, ME), parts))
    assert sorted(got) == [tuple(part) for part in parts]


def test_a_part_of_which_one_device_is_taken_is_not_free(tmp_path: Path) -> None:
    with hold(tmp_path, ["GPU-b"], "app.other"):
        assert claim_part(tmp_path, [["GPU-a", "GPU-b"], ["GPU-c"]], ME) == ("GPU-c",)


def test_one_too_many_is_refused_with_who_holds_what(tmp_path: Path) -> None:
    claim_part(tmp_path, [["GPU-a"]], ME)
    with pytest.raises(
        DeviceInUse, match=r"none of the 1 part\(s\) of app\.chat on this node is free: GPU-a is held by"
    ):
        claim_part(tmp_path, [["GPU-a"]], ME, wait_seconds=0)


def test_a_node_on_which_the_lease_has_nothing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"app\.chat has no devices on this node"):
        claim_part(tmp_path, [], ME)
