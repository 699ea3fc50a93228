"""The agent of a node: it tells what its driver sees, never hangs its caller, and cuts nothing that is in use."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from actors.claims import DeviceInUse, claims_in, hold
from actors.devices.driver import CutError
from actors.node_agent import NodeAgent
from control.scheduler.topology import links_for, numa_for
from control.specs.inventory import CutOrder, DeviceReport, NodeReport, SimulatedNode, SlicePlace

GIB = 1 << 30
DEVICE = DeviceReport("GPU-0", "H100", 80 * GIB)
SIMULATED = SimulatedNode("sim-0", 2, "H100-80GB", 80 * GIB, "pcie", links_for("pcie", 2), numa_for(2))
FIRST = "SIM-sim-0-0"
SILENT = "NVML has not answered for more than 0.2 s"
_reports = TypeAdapter(NodeReport)


class Driver:
    """Stands for a driver: it answers as soon as `lets_go` is set, or raises `error`."""

    def __init__(self) -> None:
        self.lets_go = threading.Event()
        self.lets_go.set()
        self.error: Exception | None = None
        self.devices: tuple[DeviceReport, ...] = (DEVICE,)
        self.calls: list[str] = []

    def report(self) -> NodeReport:
        self._answer("report")
        return NodeReport(self.devices, (("X",),), "pcie", at=1.0)

    def cut(self, order: CutOrder) -> None:
        self._answer(f"cut {order.device}")

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        assert self.lets_go.wait(20)
        if self.error is not None:
            raise self.error


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver()
    module: Any = type(sys)("drivers_of_a_test")
    module.Driver = lambda: made
    monkeypatch.setitem(sys.modules, "drivers_of_a_test", module)
    yield made
    made.lets_go.set()


@pytest.fixture
def agent(driver: Driver, tmp_path: Path) -> NodeAgent:
    return NodeAgent("drivers_of_a_test:Driver", {}, str(tmp_path / "claims"), report_seconds=0.2, cut_seconds=0.2)


@pytest.fixture
def simulated(tmp_path: Path) -> NodeAgent:
    args = {"path": str(tmp_path / "sim-0.json"), "node": asdict(SIMULATED)}
    return NodeAgent("actors.devices.simulated:SimulatedDriver", args, str(tmp_path / "claims"))


def seen(agent: NodeAgent) -> NodeReport:
    return _reports.validate_json(json.dumps(agent.report()))


def order(*create: SlicePlace, **changes: Any) -> dict[str, Any]:
    return asdict(replace(CutOrder(FIRST, mig=True, create=create), **changes))


def test_a_report_is_plain_and_comes_back_whole_from_json(agent: NodeAgent) -> None:
    assert seen(agent) == NodeReport((DEVICE,), (("X",),), "pcie", at=1.0)


def test_a_driver_that_hangs_hangs_nobody_and_the_last_inventory_stays(agent: NodeAgent, driver: Driver) -> None:
    before = seen(agent)
    driver.lets_go.clear()
    began = time.monotonic()
    assert seen(agent) == replace(before, error=SILENT)
    assert time.monotonic() - began < 2
    for _ in range(3):
        assert seen(agent).devices == before.devices
    assert driver.calls == ["report", "report"], "no thread is added while one hangs"
    driver.lets_go.set()
    assert seen(agent).error == ""


def test_how_long_a_driver_hangs_is_told_in_words_that_seldom_change(
    agent: NodeAgent, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.lets_go.clear()
    seen(agent)
    began, told = time.monotonic(), []
    for seconds in (61, 90, 599, 601, 3_599, 4_000, 90_000):
        monkeypatch.setattr(time, "monotonic", lambda later=seconds: began + later)
        told.append(seen(agent).error.removeprefix("NVML has not answered for more than "))
    assert told == ["a minute", "a minute", "a minute", "10 minutes", "10 minutes", "an hour", "a day"]


def test_a_driver_that_hangs_at_the_first_look_leaves_an_empty_report_with_the_reason(
    agent: NodeAgent, driver: Driver
) -> None:
    driver.lets_go.clear()
    assert seen(agent) == NodeReport(error=SILENT)


def test_many_callers_of_a_hanging_driver_are_all_answered(agent: NodeAgent, driver: Driver) -> None:
    driver.lets_go.clear()
    answers: list[str] = []
    callers = [threading.Thread(target=lambda: answers.append(seen(agent).error)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=5)
    assert answers == [SILENT] * 4


def test_a_process_whose_driver_hangs_can_end(tmp_path: Path) -> None:
    script = f"""
import sys, time
from actors.node_agent import NodeAgent
sys.modules["hangs"] = type(sys)("hangs")
sys.modules["hangs"].Driver = lambda: time.sleep(60)
print(NodeAgent("hangs:Driver", {{}}, {str(tmp_path)!r}, report_seconds=0.1).report()["error"])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, cwd=root)
    assert done.stdout == "NVML has not answered for more than 0.1 s\n"


def test_a_driver_that_breaks_its_promise_is_an_error_of_the_report(agent: NodeAgent, driver: Driver) -> None:
    before = seen(agent)
    driver.error = RuntimeError("a defect")
    assert seen(agent) == replace(before, error="drivers_of_a_test:Driver: RuntimeError: a defect")
    driver.error = None
    assert seen(agent) == before


@pytest.mark.parametrize("path", ["actors.devices.nothing:Driver", "actors.devices.simulated:Nothing"])
def test_a_driver_that_cannot_be_made_is_told_of_in_the_report(tmp_path: Path, path: str) -> None:
    assert path in seen(NodeAgent(path, {}, str(tmp_path))).error


def test_a_cut_that_hangs_does_not_hang_its_caller_and_keeps_others_out(agent: NodeAgent, driver: Driver) -> None:
    driver.lets_go.clear()
    with pytest.raises(CutError, match=r"GPU-0: no answer for 0\.2 s; the cut may still happen"):
        agent.cut(asdict(CutOrder("GPU-0", mig=False)))
    with pytest.raises(CutError, match="another cut is being made, for 0 s now; order again later"):
        agent.cut(asdict(CutOrder("GPU-0", mig=False)))
    driver.lets_go.set()
    deadline = time.monotonic() + 5
    while "cut GPU-0" not in driver.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    while time.monotonic() < deadline:
        try:
            agent.cut(asdict(CutOrder("GPU-0", mig=False)))
            break
        except CutError:
            time.sleep(0.01)
    assert driver.calls.count("cut GPU-0") == 2


def test_reports_are_given_while_a_cut_is_made(simulated: NodeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    began, ends = threading.Event(), threading.Event()

    def slow(_: CutOrder) -> None:
        began.set()
        assert ends.wait(20)

    seen(simulated)
    monkeypatch.setattr(simulated._driver, "cut", slow)
    cutting = threading.Thread(target=simulated.cut, args=(order(),))
    cutting.start()
    assert began.wait(5)
    assert seen(simulated).error == ""
    ends.set()
    cutting.join(timeout=5)


def test_a_cut_is_seen_in_the_next_report(simulated: NodeAgent) -> None:
    simulated.cut(order(SlicePlace("3g.40gb", 4)))
    simulated.cut(order(SlicePlace("3g.40gb", 4)))
    assert [one.uuid for one in seen(simulated).devices[0].slices] == ["SIM-MIG-sim-0-0-3g.40gb-4"]


def test_what_the_driver_refuses_reaches_the_caller(simulated: NodeAgent) -> None:
    with pytest.raises(CutError, match="has no room for"):
        simulated.cut(order(SlicePlace("3g.40gb", 4), SlicePlace("1g.10gb", 5)))
    with pytest.raises(ValidationError):
        simulated.cut({"device": FIRST})


def test_a_slice_in_use_is_not_destroyed(simulated: NodeAgent, tmp_path: Path) -> None:
    simulated.cut(order(SlicePlace("3g.40gb", 4), SlicePlace("1g.10gb", 0)))
    small, half = seen(simulated).devices[0].slices
    with hold(tmp_path / "claims", [half.uuid], "app.chat"):
        with pytest.raises(DeviceInUse, match=r"held by app\.chat"):
            simulated.cut(order(destroy=(small, half)))
        assert seen(simulated).devices[0].slices == (small, half), "all of the order or nothing"
        simulated.cut(order(destroy=(small,)))
        assert [(one.device, one.holder) for one in claims_in(tmp_path / "claims")] == [(half.uuid, "app.chat")]
    simulated.cut(order(destroy=(half,)))
    assert seen(simulated).devices[0].slices == ()
    assert claims_in(tmp_path / "claims") == ()
    assert list((tmp_path / "claims").iterdir()) == [tmp_path / "claims" / FIRST], "slices that are gone leave no file"


def test_whoever_claims_a_slice_after_a_report_keeps_others_from_the_whole_device(
    simulated: NodeAgent, tmp_path: Path
) -> None:
    simulated.cut(order(SlicePlace("1g.10gb", 0)))
    (one,) = seen(simulated).devices[0].slices
    with (
        hold(tmp_path / "claims", [one.uuid], "app.chat"),
        pytest.raises(DeviceInUse, match=rf"{FIRST} is held by app\.chat"),
    ):
        hold(tmp_path / "claims", [FIRST], "step.train")


def test_a_whole_device_in_use_does_not_change_its_mode(simulated: NodeAgent, tmp_path: Path) -> None:
    with (
        hold(tmp_path / "claims", [FIRST], "step.train"),
        pytest.raises(DeviceInUse, match=f"{FIRST} is held by step.train"),
    ):
        simulated.cut(order(SlicePlace("1g.10gb", 0)))
    assert not seen(simulated).devices[0].mig
    simulated.cut(order(SlicePlace("1g.10gb", 0)))
    assert seen(simulated).devices[0].mig


def test_nothing_can_be_claimed_while_it_is_cut(
    simulated: NodeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    def look(_: CutOrder) -> None:
        with pytest.raises(DeviceInUse) as caught:
            hold(tmp_path / "claims", [FIRST], "step.train")
        refused.append(str(caught.value))

    seen(simulated)
    monkeypatch.setattr(simulated._driver, "cut", look)
    simulated.cut(order(SlicePlace("1g.10gb", 0)))
    assert f"{FIRST} is held by the node's agent, to cut it" in refused[0]
