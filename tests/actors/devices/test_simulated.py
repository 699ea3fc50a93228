"""Declared devices: the same reports and cuts as real ones, kept in files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from actors.devices.driver import CutError
from actors.devices.simulated import SimulatedDriver
from control.scheduler.topology import links_for, numa_for
from control.specs.inventory import CutOrder, SimulatedNode, SlicePlace, SliceReport
from tests.fakes.fuse import Crash

GIB = 1 << 30
NODE = SimulatedNode("sim-0", 4, "H100-80GB", 80 * GIB, "pcie", links_for("pcie", 4), numa_for(4), reserved=GIB)
FIRST = "SIM-sim-0-0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nodes" / "sim-0.json"


def driver(file: Path, node: SimulatedNode = NODE) -> SimulatedDriver:
    """As a restarted agent makes it, its arguments having been through JSON."""
    return SimulatedDriver(str(file), json.loads(json.dumps(asdict(node))))


def cut(file: Path, *create: SlicePlace, device: str = FIRST, mig: bool = True) -> None:
    driver(file).cut(CutOrder(device, mig, create=create))


def test_a_declared_node_is_reported_as_declared(file: Path) -> None:
    found = driver(file).report()
    assert [device.uuid for device in found.devices] == [f"SIM-sim-0-{index}" for index in range(4)]
    assert {(device.model, device.memory, device.reserved, device.trouble) for device in found.devices} == {
        ("H100-80GB", 80 * GIB, GIB, "")
    }
    assert [device.numa for device in found.devices] == [0, 0, 1, 1]
    assert found.links[0] == ("X", "PIX", "SYS", "SYS")
    assert (found.interconnect, found.error) == ("pcie", "")
    assert found.at > 0
    assert found.loads == (), "nothing measures what is not there"


def test_what_was_cut_outlives_the_driver(file: Path) -> None:
    cut(file, SlicePlace("3g.40gb", 4), SlicePlace("1g.10gb", 0))
    device = driver(file).report().devices[0]
    assert device.mig
    assert device.slices == (
        SliceReport("1g.10gb", 0, "SIM-MIG-sim-0-0-1g.10gb-0"),
        SliceReport("3g.40gb", 4, "SIM-MIG-sim-0-0-3g.40gb-4"),
    )
    assert not driver(file).report().devices[1].mig


def test_the_same_order_twice_is_the_same_as_once(file: Path) -> None:
    cut(file, SlicePlace("3g.40gb", 0), SlicePlace("1g.10gb", 4))
    order = CutOrder(FIRST, True, driver(file).report().devices[0].slices[:1], (SlicePlace("2g.20gb", 0),))
    driver(file).cut(order)
    once = driver(file).report().devices
    driver(file).cut(order)
    assert driver(file).report().devices == once
    assert [(one.profile, one.start) for one in once[0].slices] == [("2g.20gb", 0), ("1g.10gb", 4)]


def test_a_device_becomes_whole_only_when_nothing_is_left_on_it(file: Path) -> None:
    cut(file, SlicePlace("1g.10gb", 0), SlicePlace("1g.10gb", 1))
    first, second = driver(file).report().devices[0].slices
    with pytest.raises(CutError, match=r"SIM-sim-0-0 cannot leave MIG mode with slices on it: 1g\.10gb at 1"):
        driver(file).cut(CutOrder(FIRST, False, (first,)))
    assert len(driver(file).report().devices[0].slices) == 2, "nothing was half done"
    driver(file).cut(CutOrder(FIRST, False, (first, second)))
    assert not driver(file).report().devices[0].mig


@pytest.mark.parametrize(
    ("there", "wanted", "said"),
    [
        (("3g.40gb", 0), ("1g.10gb", 3), "no room for 1g.10gb at 3: 3g.40gb at 0 is there"),
        (("1g.10gb", 6), ("4g.40gb", 3), "no room for 4g.40gb at 3: 1g.10gb at 6 is there"),
        (("1g.10gb", 0), ("2g.20gb", 7), "8 memory slices, 2g.20gb takes 2; found start 7, expected 0 to 6"),
        (("1g.10gb", 0), ("3g", 4), "found a MIG profile '3g'; expected one like 1g.10gb"),
    ],
)
def test_what_hardware_has_no_room_for_is_refused(
    file: Path, there: tuple[str, int], wanted: tuple[str, int], said: str
) -> None:
    cut(file, SlicePlace(*there))
    with pytest.raises(CutError) as caught:
        cut(file, SlicePlace(*wanted))
    assert said in str(caught.value)
    assert len(driver(file).report().devices[0].slices) == 1


@pytest.mark.parametrize(
    ("model", "gib", "profiles"),
    [
        ("H100-80GB", 80, {"1g.10gb": 1, "1g.10gb+me": 1, "1g.20gb": 2, "2g.20gb": 2, "3g.40gb": 4, "7g.80gb": 8}),
        ("H200", 141, {"1g.18gb": 1, "1g.35gb": 2, "2g.35gb": 2, "3g.71gb": 4, "4g.71gb": 4, "7g.141gb": 8}),
        ("A100-40GB", 40, {"1g.5gb": 1, "1g.10gb": 2, "2g.10gb": 2, "3g.20gb": 4, "7g.40gb": 8}),
        ("A30", 24, {"1g.6gb": 1, "2g.12gb": 2, "4g.24gb": 4}),
    ],
)
def test_a_profile_takes_as_many_memory_slices_as_on_hardware(
    file: Path, model: str, gib: int, profiles: dict[str, int]
) -> None:
    node = replace(NODE, model=model, memory=gib * GIB)
    for profile, span in profiles.items():
        device = driver(file, node)
        order = CutOrder(FIRST, True, create=(SlicePlace(profile, 0),))
        device.cut(order)
        device.cut(replace(order, create=(), destroy=device.report().devices[0].slices))
        last = (4 if model == "A30" else 8) - span
        device.cut(replace(order, create=(SlicePlace(profile, last),)))
        with pytest.raises(CutError, match=f"{profile.replace('+', '.')} takes {span}; found start {last + 1}"):
            device.cut(replace(order, create=(SlicePlace(profile, last + 1),)))
        device.cut(CutOrder(FIRST, False, device.report().devices[0].slices))


def test_an_unknown_device_is_refused_with_the_nearest_one(file: Path) -> None:
    with pytest.raises(CutError, match="sim-0 has no device 'SIM-sim-0-9'; did you mean 'SIM-sim-0-"):
        cut(file, device="SIM-sim-0-9")


def test_a_device_fails_and_heals_by_a_file(file: Path) -> None:
    simulated = driver(file)
    file.parent.mkdir(parents=True)
    trouble = file.with_name("sim-0.trouble.json")
    trouble.write_text('{"trouble": {"SIM-sim-0-3": "XID 79: GPU has fallen off the bus"}}')
    assert [device.trouble for device in simulated.report().devices] == [
        "",
        "",
        "",
        "XID 79: GPU has fallen off the bus",
    ]
    assert driver(file).report().devices[3].trouble, "after a restart too"
    trouble.unlink()
    assert not simulated.report().devices[3].trouble


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"trouble": {"SIM-sim-0-3": 79}}'])
def test_a_file_of_troubles_that_cannot_be_read_changes_nothing_and_is_told_of(file: Path, text: str) -> None:
    simulated = driver(file)
    file.parent.mkdir(parents=True)
    trouble = file.with_name("sim-0.trouble.json")
    trouble.write_text('{"trouble": {"SIM-sim-0-3": "lost"}}')
    before = simulated.report()
    trouble.write_text(text)
    found = simulated.report()
    assert found.devices == before.devices
    assert "the files of sim-0 cannot be read" in found.error


def test_a_trouble_of_an_unknown_device_is_told_of(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.with_name("sim-0.trouble.json").write_text('{"trouble": {"SIM-sim-0-9": "lost"}}')
    assert driver(file).report().error.endswith("sim-0 has no device SIM-sim-0-9")


def test_a_crash_in_a_cut_leaves_the_old_layout_or_the_new_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(file, SlicePlace("1g.10gb", 0))
    before = driver(file).report().devices

    def dies(handle: int) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dies)
        with pytest.raises(Crash):
            cut(file, SlicePlace("1g.10gb", 1))
    assert driver(file).report().devices == before
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: dies(0))
        with pytest.raises(Crash):
            cut(file, SlicePlace("1g.10gb", 1))
    assert driver(file).report().devices == before
    cut(file, SlicePlace("1g.10gb", 1))
    assert len(driver(file).report().devices[0].slices) == 2
