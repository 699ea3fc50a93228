"""The driver of real devices, over an imagined machine: what it sees, and what it says of what is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.devices.nvml import QUIET_SECONDS, NvmlDriver
from control.specs.inventory import DeviceLoad, DeviceReport
from tests.fakes.clock import FakeClock
from tests.fakes.nvml import MIB, SWITCH, FakeNvml, Gpu, Instance, dgx_h100, pci_devices, pynvml


class Machine:
    def __init__(self, root: Path, gpus: list[Gpu]) -> None:
        self.nvml = FakeNvml(gpus)
        self.gpus = gpus
        self.clock = FakeClock()
        self.driver = NvmlDriver(self.nvml, self.nvml.smi, self.clock, pci_devices(root, gpus))

    def device(self, index: int) -> DeviceReport:
        found = self.driver.report()
        assert not found.error
        return found.devices[index]


@pytest.fixture
def dgx(tmp_path: Path) -> Machine:
    return Machine(tmp_path, dgx_h100())


def machine(root: Path, *links: list[str | int]) -> Machine:
    """One GPU for each list of links, on buses 1, 2, …"""
    return Machine(root, [Gpu(f"GPU-{bus}", bus, links=to) for bus, to in enumerate(links, start=1)])


def test_a_dgx_h100_is_seen_as_it_is(dgx: Machine) -> None:
    dgx.gpus[2].pids = [42, 41]
    found = dgx.driver.report()
    assert found.error == ""
    assert found.at == dgx.clock()
    assert [device.uuid for device in found.devices] == [f"GPU-{index}" for index in range(8)]
    assert [device.numa for device in found.devices] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found.devices[2] == DeviceReport(
        "GPU-2", "NVIDIA H100 80GB HBM3", 81559 * MIB, reserved=551 * MIB, numa=0, holders=(41, 42)
    )
    assert found.interconnect == "nvswitch"
    assert found.links == tuple(tuple("X" if i == j else "NV18" for j in range(8)) for i in range(8))


def test_how_busy_a_device_is_comes_with_the_report_as_nvml_measures_it(dgx: Machine) -> None:
    dgx.gpus[2].busy = 83
    loads = dgx.driver.report().loads
    assert [load.uuid for load in loads] == [f"GPU-{index}" for index in range(8)]
    assert loads[2] == DeviceLoad("GPU-2", 0.83, 4096 * MIB, 81559 * MIB)
    assert loads[3].utilisation == 0.0


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_UNKNOWN])
def test_what_a_device_does_not_tell_of_its_load_is_left_open_and_no_trouble(dgx: Machine, error: int) -> None:
    dgx.gpus[0].mig = True
    dgx.gpus[0].errors["nvmlDeviceGetUtilizationRates"] = error
    found = dgx.driver.report()
    assert found.loads[0] == DeviceLoad("GPU-0", None, 4096 * MIB, 81559 * MIB)
    assert found.devices[0].trouble == ""


def test_a_device_that_is_lost_has_no_load(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.gpus[0].gone = True
    found = dgx.driver.report()
    assert [load.uuid for load in found.loads] == [f"GPU-{index}" for index in range(1, 8)]
    assert len(found.devices) == 8


def test_links_to_the_switches_that_went_down_count_for_the_pair(tmp_path: Path) -> None:
    found = machine(tmp_path, [SWITCH] * 18, [SWITCH] * 16, [SWITCH] * 18).driver.report()
    assert found.links == (("X", "NV16", "NV18"), ("NV16", "X", "NV16"), ("NV18", "NV16", "X"))


def test_direct_links_are_counted_by_the_device_they_lead_to(tmp_path: Path) -> None:
    found = machine(tmp_path, [2, 2, 3], [1, 1], [1], []).driver.report()
    assert found.links[0] == ("X", "NV2", "NV1", "NODE")
    assert found.links[1][2] == "NODE", "no NVLink between them"
    assert found.links[2][3] == "PIX"
    assert found.interconnect == "nvlink"


def test_devices_without_nvlink_are_joined_as_pcie_joins_them(tmp_path: Path) -> None:
    gpus = [Gpu(f"GPU-{bus}", bus, numa) for bus, numa in ((1, 0), (2, 0), (3, 0), (4, 1))]
    found = Machine(tmp_path, gpus).driver.report()
    assert found.links[0] == ("X", "PIX", "NODE", "SYS")
    assert found.interconnect == "pcie"


def test_the_instances_of_a_device_in_mig_mode_are_seen_with_their_places(dgx: Machine) -> None:
    dgx.gpus[0].mig = True
    dgx.gpus[0].instances = [Instance(3, "3g.40gb", 4, "MIG-b"), Instance(9, "1g.10gb", 0, "MIG-a")]
    device = dgx.device(0)
    assert device.mig
    assert [(one.profile, one.start, one.uuid) for one in device.slices] == [
        ("1g.10gb", 0, "MIG-a"),
        ("3g.40gb", 4, "MIG-b"),
    ]


def test_places_that_only_root_may_know_are_unknown_and_no_trouble(dgx: Machine) -> None:
    dgx.gpus[0].mig = True
    dgx.gpus[0].instances = [Instance(3, "3g.40gb", 4, "MIG-b")]
    dgx.gpus[0].errors["nvmlDeviceGetGpuInstanceById"] = pynvml.NVML_ERROR_NO_PERMISSION
    assert [one.start for one in dgx.device(0).slices] == [-1]
    assert dgx.device(0).trouble == ""


def test_a_machine_that_does_not_tell_its_numa_nodes_is_no_trouble(tmp_path: Path) -> None:
    nvml = FakeNvml(dgx_h100())
    found = NvmlDriver(nvml, nvml.smi, FakeClock(), tmp_path / "nothing").report()
    assert {(device.numa, device.trouble) for device in found.devices} == {(-1, "")}


def test_an_old_driver_does_not_tell_what_it_keeps(dgx: Machine) -> None:
    dgx.gpus[0].errors["nvmlDeviceGetMemoryInfo_v2"] = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    device = dgx.device(0)
    assert (device.memory, device.reserved, device.trouble) == (81559 * MIB, 0, "")


@pytest.mark.parametrize(
    "function",
    [
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetTotalEccErrors",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetFieldValues",
        "nvmlDeviceGetSupportedEventTypes",
        "nvmlDeviceGetComputeRunningProcesses_v3",
    ],
)
def test_what_a_model_does_not_offer_is_no_trouble(dgx: Machine, function: str) -> None:
    dgx.gpus[0].errors[function] = pynvml.NVML_ERROR_NOT_SUPPORTED
    assert dgx.device(0).trouble == ""


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 63, 94])
def test_an_error_of_an_application_says_nothing_against_the_device(dgx: Machine, xid: int) -> None:
    dgx.driver.report()
    dgx.nvml.xid(dgx.gpus[1], xid)
    assert dgx.device(1).trouble == ""


def test_an_error_of_the_device_is_its_trouble_and_nobody_elses(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.nvml.xid(dgx.gpus[1], 79)
    found = [device.trouble for device in dgx.driver.report().devices]
    assert found == ["", "XID 79: GPU has fallen off the bus", "", "", "", "", "", ""]


def test_an_error_that_no_catalog_knows_is_taken_seriously(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.nvml.xid(dgx.gpus[1], 999)
    assert dgx.device(1).trouble == "XID 999: see the catalog of XID errors of NVIDIA"


def test_a_device_is_healthy_again_after_a_quiet_time(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.nvml.xid(dgx.gpus[1], 74)
    assert dgx.device(1).trouble
    dgx.clock.tick(QUIET_SECONDS - 1)
    assert dgx.device(1).trouble == "XID 74: NVLink error"
    dgx.nvml.xid(dgx.gpus[1], 74)
    assert dgx.device(1).trouble
    dgx.clock.tick(QUIET_SECONDS - 1)
    assert dgx.device(1).trouble, "the second error began the time anew"
    dgx.clock.tick(1)
    assert dgx.device(1).trouble == ""


def test_no_quiet_time_heals_a_device_that_still_wants_a_reset(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.nvml.xid(dgx.gpus[1], 95)
    dgx.gpus[1].recovery = pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET
    dgx.device(1)
    dgx.clock.tick(QUIET_SECONDS * 10)
    assert dgx.device(1).trouble == "XID 95: uncontained memory error; the driver wants a reset of the GPU"
    dgx.gpus[1].recovery = 0
    assert dgx.device(1).trouble == ""


def test_a_flood_of_errors_on_one_device_does_not_keep_a_report_from_ending(dgx: Machine) -> None:
    dgx.driver.report()
    for _ in range(10_000):
        dgx.nvml.xid(dgx.gpus[1], 13)
    dgx.driver.report()
    assert 0 < len(dgx.nvml.events) < 10_000


def test_memory_errors_are_counted(dgx: Machine) -> None:
    dgx.gpus[3].ecc = 3
    assert dgx.device(3).trouble == "double-bit ECC errors: 3"
    dgx.gpus[3].row_failure = True
    assert dgx.device(3).trouble == "double-bit ECC errors: 3; a bad memory row could not be remapped"


def test_a_device_that_answers_nothing_is_lost_once_and_keeps_what_was_known_of_it(dgx: Machine) -> None:
    healthy = dgx.device(5)
    dgx.gpus[5].errors["*"] = pynvml.NVML_ERROR_GPU_IS_LOST
    found = dgx.driver.report()
    assert found.error == ""
    lost = found.devices[5]
    assert lost.trouble == "lost: GPU is lost"
    assert (lost.uuid, lost.memory, lost.model) == (healthy.uuid, healthy.memory, healthy.model)
    assert [device.trouble for device in found.devices if device != lost] == [""] * 7
    assert found.links[5] == ("SYS", "SYS", "SYS", "SYS", "SYS", "X", "SYS", "SYS")
    assert found.links[0][7] == "NV18"


def test_a_device_that_disappears_is_lost_and_comes_back_healthy_and_watched(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.gpus[0].gone = True
    found = dgx.driver.report()
    assert len(found.devices) == 8
    assert found.devices[0].trouble == "lost: NVML no longer sees it"
    dgx.gpus[0].gone = False
    dgx.nvml.registered.discard("GPU-0")
    assert dgx.device(0).trouble == ""
    assert "GPU-0" in dgx.nvml.registered


def test_a_device_is_watched_again_after_it_could_not_be_asked(dgx: Machine) -> None:
    """A reset ends the watching of a device; the driver learns of the reset only by what fails meanwhile."""
    dgx.driver.report()
    dgx.gpus[2].errors["nvmlDeviceGetMigMode"] = pynvml.NVML_ERROR_RESET_REQUIRED
    assert dgx.device(2).trouble == "NVML on its MIG mode: GPU requires restart"
    dgx.nvml.registered.discard("GPU-2")
    dgx.gpus[2].errors.clear()
    assert dgx.device(2).trouble == ""
    assert "GPU-2" in dgx.nvml.registered


def test_a_device_that_was_broken_from_the_start_is_shown_by_its_index(dgx: Machine) -> None:
    dgx.gpus[6].errors["nvmlDeviceGetUUID"] = pynvml.NVML_ERROR_UNKNOWN
    found = dgx.driver.report()
    assert found.devices[-1] == DeviceReport("index-6", "", 0, trouble="NVML on its UUID: Unknown Error")
    assert len(found.links) == len(found.devices) == 8
    dgx.gpus[6].errors["nvmlDeviceGetUUID"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    assert dgx.device(7).trouble == "NVML does not tell its UUID"
    dgx.gpus[6].errors.clear()
    assert {device.uuid for device in dgx.driver.report().devices} == {f"GPU-{index}" for index in range(8)}


def test_every_error_of_one_device_is_its_own_trouble(dgx: Machine) -> None:
    """Whatever function fails in whatever way: a report, seven healthy devices, and a reason for the eighth."""
    dgx.driver.report()
    asked = {call for call in dgx.nvml.calls if call.startswith("nvmlDevice")} - {"nvmlDeviceGetCount"}
    shape = {"nvmlDeviceGetNvLinkState", "nvmlDeviceGetNvLinkRemoteDeviceType", "nvmlDeviceGetTopologyCommonAncestor"}
    measured = {"nvmlDeviceGetUtilizationRates"}
    assert len(asked) > 10
    for function in sorted(asked - shape - measured):
        dgx.gpus[4].errors = {function: pynvml.NVML_ERROR_IRQ_ISSUE}
        dgx.driver._watched.clear()
        found = dgx.driver.report()
        assert found.error == ""
        assert [bool(device.trouble) for device in found.devices] == [index == 4 for index in range(8)], function


def test_an_error_of_the_library_keeps_the_last_inventory_and_the_library_is_started_afresh(dgx: Machine) -> None:
    before = dgx.driver.report()
    dgx.clock.tick()
    dgx.nvml.errors["nvmlDeviceGetCount"] = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    found = dgx.driver.report()
    assert found.error == "NVML: Driver Not Loaded"
    assert (found.devices, found.links, found.at) == (before.devices, before.links, before.at)
    dgx.nvml.errors.clear()
    assert dgx.driver.report().error == ""
    assert dgx.nvml.open == 1
    assert len(dgx.nvml.registered) == 8


def test_a_library_that_fails_in_the_middle_of_a_device_is_not_the_devices_fault(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.gpus[3].errors["nvmlDeviceGetMigMode"] = pynvml.NVML_ERROR_UNINITIALIZED
    found = dgx.driver.report()
    assert found.error == "NVML: Uninitialized"
    assert not any(device.trouble for device in found.devices)


def test_a_machine_without_a_driver_says_so_and_is_asked_again(dgx: Machine) -> None:
    dgx.nvml.errors["nvmlInit"] = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    found = dgx.driver.report()
    assert (found.error, found.devices) == ("NVML: NVML Shared Library Not Found", ())
    dgx.nvml.errors.clear()
    assert len(dgx.driver.report().devices) == 8


@pytest.mark.parametrize("function", ["nvmlEventSetCreate", "nvmlEventSetWait_v2"])
def test_a_machine_without_events_is_seen_all_the_same(dgx: Machine, function: str) -> None:
    """As under WSL; an event set that is there can also fail for a device that another question shows to be lost."""
    wait = function == "nvmlEventSetWait_v2"
    dgx.nvml.errors[function] = pynvml.NVML_ERROR_GPU_IS_LOST if wait else pynvml.NVML_ERROR_NOT_SUPPORTED
    for _ in range(2):
        found = dgx.driver.report()
        assert (found.error, len(found.devices)) == ("", 8)
        assert not any(device.trouble for device in found.devices)
    assert dgx.nvml.open == 1


def test_events_that_cannot_be_read_any_more_are_an_error_and_are_set_up_anew(dgx: Machine) -> None:
    dgx.driver.report()
    dgx.nvml.errors["nvmlEventSetWait_v2"] = pynvml.NVML_ERROR_UNKNOWN
    assert dgx.driver.report().error == "NVML: Unknown Error"
    dgx.nvml.errors.clear()
    dgx.driver.report()
    dgx.nvml.xid(dgx.gpus[0], 79)
    assert dgx.device(0).trouble == "XID 79: GPU has fallen off the bus"
