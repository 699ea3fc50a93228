"""Cutting real devices: what is ordered is made once, what a crash left is finished, what is not ours is left alone."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.devices.driver import CutError
from actors.devices.mig import nvidia_smi
from actors.devices.nvml import NvmlDriver
from control.specs.inventory import CutOrder, SlicePlace, SliceReport
from tests.fakes.clock import FakeClock
from tests.fakes.fuse import Crash
from tests.fakes.nvml import FakeNvml, Gpu, Instance, pynvml

SMALL, HALF = SlicePlace("1g.10gb", 0), SlicePlace("3g.40gb", 4)


class Bench:
    def __init__(self) -> None:
        self.gpu = Gpu("GPU-0", 1)
        self.nvml = FakeNvml([self.gpu, Gpu("GPU-1", 2)])
        self.dies_after = 1_000_000
        self.driver = NvmlDriver(self.nvml, self.smi, FakeClock())

    def smi(self, arguments: Sequence[str]) -> str:
        if "-lgi" not in arguments:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise Crash
        return self.nvml.smi(arguments)

    def restart(self) -> None:
        """The agent's process dies, and with it what it had open."""
        self.nvml.open = 0
        self.nvml.registered.clear()
        self.dies_after = 1_000_000
        self.driver = NvmlDriver(self.nvml, self.smi, FakeClock())

    @property
    def slices(self) -> tuple[SliceReport, ...]:
        return self.driver.report().devices[0].slices

    @property
    def places(self) -> list[tuple[str, int]]:
        return [(one.profile, one.start) for one in self.slices]

    @property
    def orders(self) -> list[str]:
        """What nvidia-smi was told to change."""
        return [call for call in self.nvml.calls if call.startswith("nvidia-smi") and "-lgi" not in call]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_whole_device_is_cut_as_ordered(bench: Bench) -> None:
    bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL, HALF)))
    assert bench.orders == [
        "nvidia-smi -i GPU-0 -mig 1",
        "nvidia-smi mig -i GPU-0 -cgi 1g.10gb:0 -C",
        "nvidia-smi mig -i GPU-0 -cgi 3g.40gb:4 -C",
    ]
    assert bench.places == [("1g.10gb", 0), ("3g.40gb", 4)]
    assert not bench.driver.report().devices[1].mig


def test_the_same_order_twice_changes_nothing_the_second_time(bench: Bench) -> None:
    order = CutOrder("GPU-0", mig=True, create=(SMALL, HALF))
    bench.driver.cut(order)
    before, told = bench.slices, len(bench.orders)
    bench.driver.cut(order)
    assert bench.slices == before
    assert len(bench.orders) == told


def test_a_slice_is_destroyed_with_its_compute_instance_and_the_others_stay(bench: Bench) -> None:
    bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL, HALF)))
    small, half = bench.slices
    bench.driver.cut(CutOrder("GPU-0", mig=True, destroy=(small,), create=(SlicePlace("2g.20gb", 0),)))
    assert bench.places == [("2g.20gb", 0), ("3g.40gb", 4)]
    assert half in bench.slices


def test_a_repeated_order_does_not_destroy_what_was_made_in_the_place_since(bench: Bench) -> None:
    bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL,)))
    order = CutOrder("GPU-0", mig=True, destroy=bench.slices, create=(SMALL,))
    bench.driver.cut(order)
    made = bench.slices
    assert made != order.destroy
    bench.driver.cut(order)
    assert bench.slices == made


def test_a_crash_at_any_step_leaves_what_the_same_order_finishes(bench: Bench) -> None:
    """Killed after 0, 1, 2, … orders to nvidia-smi, or in the middle of making an instance, and asked again."""
    for steps in itertools.count():
        bench = Bench()
        bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL, HALF)))
        order = CutOrder("GPU-0", mig=True, destroy=bench.slices[:1], create=(SlicePlace("2g.20gb", 0),))
        bench.dies_after = steps
        try:
            bench.driver.cut(order)
        except Crash:
            died = True
        else:
            died = False
        bench.restart()
        bench.driver.cut(order)
        assert bench.places == [("2g.20gb", 0), ("3g.40gb", 4)], f"after {steps} steps"
        assert len(bench.gpu.instances) == 2, "nothing half made is left"
        if not died:
            assert steps == 3
            break


def test_an_instance_that_was_made_by_half_is_finished(bench: Bench) -> None:
    bench.gpu.mig = True
    bench.gpu.instances = [Instance(7, "1g.10gb", 0, None)]
    assert bench.places == []
    bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL,)))
    assert bench.orders == ["nvidia-smi mig -i GPU-0 -gi 7 -cci"]
    assert bench.places == [("1g.10gb", 0)]


def test_a_device_becomes_whole_again(bench: Bench) -> None:
    bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL,)))
    order = CutOrder("GPU-0", mig=False, destroy=bench.slices)
    bench.driver.cut(order)
    device = bench.driver.report().devices[0]
    assert (device.mig, device.slices, bench.gpu.instances) == (False, (), [])
    told = len(bench.orders)
    bench.driver.cut(order)
    assert len(bench.orders) == told


def test_nvml_is_closed_while_the_mode_changes_and_the_device_is_watched_again(bench: Bench) -> None:
    """The imagined device stays out of MIG mode, as a real one may, while a process has NVML open."""
    bench.driver.report()
    bench.driver.cut(CutOrder("GPU-0", mig=True))
    assert bench.driver.report().devices[0].mig
    assert bench.nvml.registered == {"GPU-0", "GPU-1"}
    assert bench.nvml.open == 1


def test_a_mode_that_stays_pending_is_an_error_that_says_why(bench: Bench) -> None:
    bench.gpu.mig_stays_pending = True
    with pytest.raises(CutError, match="GPU-0: MIG mode is still off: another process has the GPU open"):
        bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL,)))
    assert bench.gpu.instances == []


def test_a_device_that_knows_no_mig_is_whole_already_and_cannot_be_cut(bench: Bench) -> None:
    bench.gpu.errors["nvmlDeviceGetMigMode"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    bench.driver.cut(CutOrder("GPU-0", mig=False))
    assert bench.orders == []
    with pytest.raises(CutError, match="Unable to enable MIG Mode: Not Supported"):
        bench.driver.cut(CutOrder("GPU-0", mig=True, create=(SMALL,)))


def test_slices_on_a_whole_device_are_no_order(bench: Bench) -> None:
    with pytest.raises(CutError, match="GPU-0 cannot have slices without MIG mode"):
        bench.driver.cut(CutOrder("GPU-0", mig=False, create=(SMALL,)))


def test_an_unknown_device_and_a_failing_library_are_errors_of_the_cut(bench: Bench) -> None:
    with pytest.raises(CutError, match="GPU-9: NVML: Not Found"):
        bench.driver.cut(CutOrder("GPU-9", mig=True))
    bench.nvml.errors["nvmlDeviceGetHandleByUUID"] = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    with pytest.raises(CutError, match="GPU-0: NVML: Driver Not Loaded"):
        bench.driver.cut(CutOrder("GPU-0", mig=True))
    bench.nvml.errors.clear()
    assert bench.driver.report().error == ""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs are looked for."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def program(path: Path, text: str) -> None:
    file = path / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_arguments_reach_nvidia_smi_as_they_are(path: Path) -> None:
    program(path, 'printf "<%s>" "$@"')
    assert nvidia_smi(["mig", "-i", "GPU 0; $(id)", "-lgi"]) == "<mig><-i><GPU 0; $(id)><-lgi>"


def test_what_nvidia_smi_complains_of_on_either_stream_is_in_the_error(path: Path) -> None:
    program(path, "echo 'Unable to create'; echo 'Insufficient Resources' >&2; exit 4")
    with pytest.raises(CutError) as caught:
        nvidia_smi(["mig", "-lgi"])
    assert str(caught.value) == "nvidia-smi mig -lgi ended with 4: Insufficient Resources Unable to create"


def test_a_machine_without_nvidia_smi_is_told_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(CutError, match=r"nvidia-smi mig -lgi: .*No such file"):
        nvidia_smi(["mig", "-lgi"])
