"""Claims on devices: one process a device, whatever processes do, and nothing held by the dead."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from actors.claims import DeviceInUse, claim, claims_in, forget, hold, note_slices

ROOT = Path(__file__).parents[2]


class Holder:
    """Another process that runs `code` after it claimed, says so, and stays until it is killed."""

    def __init__(self, directory: Path, devices: Sequence[str], *, shares: int = 1, code: str = "") -> None:
        script = textwrap.dedent(
            f"""
            import os, sys, time
            from pathlib import Path
            from actors.claims import hold
            hold(Path({str(directory)!r}), {list(devices)!r}, "app.other", shares={shares})
            {code}
            print("held", flush=True)
            time.sleep(60)
            """
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """With whatever it started."""
        self.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "claims"


@pytest.fixture
def other(directory: Path) -> Iterator[Holder]:
    """Somebody who holds GPU-b."""
    holder = Holder(directory, ["GPU-b"])
    yield holder
    holder.end()


def taken(directory: Path) -> list[tuple[str, int]]:
    return [(one.device, one.pid) for one in claims_in(directory)]


def test_a_claimed_device_is_refused_to_everybody_else_who_is_told_who_has_it(directory: Path, other: Holder) -> None:
    with pytest.raises(DeviceInUse) as caught:
        hold(directory, ["GPU-b"], "step.mine", wait_seconds=0.2)
    assert f"GPU-b is held by app.other (pid {other.pid}) since 20" in str(caught.value)
    assert "waited 0.2 s" in str(caught.value)


def test_a_killed_holder_frees_its_devices_at_once(directory: Path, other: Holder) -> None:
    other.kill()
    began = time.monotonic()
    with hold(directory, ["GPU-b"], "step.mine"):
        assert time.monotonic() - began < 0.1
        assert taken(directory) == [("GPU-b", os.getpid())]
    assert claims_in(directory) == ()


def test_who_waits_long_enough_gets_the_device_when_the_former_holder_dies(directory: Path, other: Holder) -> None:
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {other.pid}"])
    began = time.monotonic()
    # The dead process is a zombie until its parent asks for it; the kernel has let go of its locks by then.
    with hold(directory, ["GPU-b"], "step.mine", wait_seconds=20):
        assert 0.2 < time.monotonic() - began < 10
    killer.wait()


def test_all_of_the_devices_or_none(directory: Path, other: Holder) -> None:
    with pytest.raises(DeviceInUse, match="GPU-b is held by app"):
        hold(directory, ["GPU-c", "GPU-b", "GPU-a"], "step.mine")
    assert taken(directory) == [("GPU-b", other.pid)]
    with hold(directory, ["GPU-c", "GPU-a"], "step.mine"):
        assert len(claims_in(directory)) == 3


def test_one_process_cannot_hold_a_device_twice(directory: Path) -> None:
    with hold(directory, ["GPU-a"], "step.mine"), pytest.raises(DeviceInUse, match="GPU-a is held by step"):
        hold(directory, ["GPU-a"], "step.mine")


def test_what_a_dead_holder_wrote_does_not_count(directory: Path, other: Holder) -> None:
    other.kill()
    assert claims_in(directory) == ()
    assert "app.other" in (directory / "GPU-b").read_text(), "the text is there, the lock is not"


def test_two_processes_never_hold_one_device(directory: Path, tmp_path: Path) -> None:
    """Four processes take and drop two devices in either order for a while, each noting that it is alone."""
    script = textwrap.dedent(
        f"""
        import os, sys, time
        from pathlib import Path
        from actors.claims import hold, claims_in
        directory, marks = Path({str(directory)!r}), Path({str(tmp_path)!r})
        devices = ["GPU-a", "GPU-b"][:: 1 if int(sys.argv[1]) % 2 else -1]
        until, turns = time.monotonic() + 0.3, 0
        while time.monotonic() < until or not turns:
            with hold(directory, devices, sys.argv[1], wait_seconds=20):
                for device in devices:
                    mark = marks / f"{{device}}.alone"
                    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))  # fails when another one is here
                    claims_in(directory)
                    mark.unlink()
                turns += 1
        print(turns)
        """
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, str(index)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for index in range(4)
    ]
    turns = [int(worker.communicate(timeout=30)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert min(turns) >= 1, "everybody had a turn, nobody waited for ever for the other order"


def test_as_many_share_a_device_as_it_has_shares(directory: Path) -> None:
    held = [hold(directory, ["GPU-a"], f"app.{index}", shares=3) for index in range(3)]
    assert [(one.device, one.holder, one.shared) for one in claims_in(directory)] == [
        ("GPU-a", "app.0", True),
        ("GPU-a", "app.1", True),
        ("GPU-a", "app.2", True),
    ]
    with pytest.raises(DeviceInUse, match=r"held by app.0 .* and app.1 .* and app.2"):
        hold(directory, ["GPU-a"], "app.3", shares=3)
    held.pop(1).release()
    held.append(hold(directory, ["GPU-a"], "app.3", shares=3))
    for one in held:
        one.release()


def test_a_whole_device_is_not_shared_and_a_shared_one_is_not_given_whole(directory: Path) -> None:
    with hold(directory, ["GPU-a"], "step.mine"), pytest.raises(DeviceInUse, match="held by step"):
        hold(directory, ["GPU-a"], "app.1", shares=2)
    with hold(directory, ["GPU-a"], "app.1", shares=2):
        with pytest.raises(DeviceInUse, match="held by app"):
            hold(directory, ["GPU-a"], "step.mine")
        with hold(directory, ["GPU-a"], "app.2", shares=2):
            assert len(claims_in(directory)) == 2


def test_what_a_holder_forked_keeps_the_device_after_its_death(directory: Path) -> None:
    """An engine's worker may outlive the process that claimed: the device is not free while it lives."""
    holder = Holder(directory, ["GPU-b"], code="os.fork() or time.sleep(60)")
    holder.kill()
    with pytest.raises(DeviceInUse, match=f"pid {holder.pid}, gone, but not all that it forked"):
        hold(directory, ["GPU-b"], "step.mine")
    holder.end()
    hold(directory, ["GPU-b"], "step.mine", wait_seconds=5).release()


def test_programs_that_a_holder_starts_do_not_keep_the_device(directory: Path) -> None:
    holder = Holder(directory, ["GPU-b"], code="import subprocess; subprocess.Popen(['sleep', '60'], close_fds=False)")
    holder.kill()
    hold(directory, ["GPU-b"], "step.mine").release()
    holder.end()


def test_cuda_is_shown_the_claimed_devices_in_the_order_of_the_lease(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with claim(directory, ["GPU-b", "GPU-a"], "step.mine"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b,GPU-a"


def test_simulated_devices_are_held_and_not_shown_to_cuda(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with claim(directory, ["SIM-sim-0-1"], "step.mine"):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        assert taken(directory) == [("SIM-sim-0-1", os.getpid())]


def test_nothing_is_shown_to_cuda_when_the_claim_is_refused(
    directory: Path, other: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(DeviceInUse):
        claim(directory, ["GPU-b"], "step.mine", wait_seconds=0)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_the_old_form_of_a_mig_uuid_can_be_claimed(directory: Path) -> None:
    with hold(directory, ["MIG-GPU-a/1/0"], "app.1"):
        assert taken(directory) == [("MIG-GPU-a/1/0", os.getpid())]


def test_a_claim_that_is_being_written_is_seen_without_a_name(directory: Path) -> None:
    with hold(directory, ["GPU-a"], "step.mine"):
        (directory / "GPU-a").write_text("")
        (one,) = claims_in(directory)
        assert (one.device, one.holder, one.pid) == ("GPU-a", "", 0)


def test_a_device_that_cannot_be_written_about_is_not_held(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            hold(directory, ["GPU-a", "GPU-b"], "step.mine")
    assert claims_in(directory) == ()
    hold(directory, ["GPU-a", "GPU-b"], "step.mine").release()


@pytest.mark.parametrize(
    ("device", "small", "half"), [("GPU-a", "MIG-1", "MIG-2"), ("SIM-n-0", "SIM-MIG-n-0-1g.10gb-0", "SIM-MIG-n-0-x-4")]
)
def test_a_device_is_not_given_whole_beside_its_slices_nor_a_slice_beside_the_whole(
    directory: Path, device: str, small: str, half: str
) -> None:
    note_slices(directory, {small: device, half: device})
    with hold(directory, [device], "step.mine"), pytest.raises(DeviceInUse, match=rf"{device} is held by step\.mine"):
        hold(directory, [small], "app.1")
    with hold(directory, [small], "app.1"), hold(directory, [half], "app.2", shares=2):
        with pytest.raises(DeviceInUse, match=rf"{device} is held by app\.1 .* and app\.2"):
            hold(directory, [device], "step.mine")
        assert [one.device for one in claims_in(directory)] == [small, half], "the device itself is held by nobody"
    hold(directory, [device], "step.mine").release()


def test_a_killed_holder_of_a_slice_frees_its_device_too(directory: Path) -> None:
    note_slices(directory, {"MIG-1": "GPU-a"})
    holder = Holder(directory, ["MIG-1"])
    with pytest.raises(DeviceInUse, match=f"GPU-a is held by app.other \\(pid {holder.pid}\\)"):
        hold(directory, ["GPU-a"], "step.mine")
    holder.end()
    hold(directory, ["GPU-a"], "step.mine").release()


def test_who_holds_a_device_and_a_slice_of_it_does_not_wait_for_itself(directory: Path) -> None:
    """An agent does, to take a device out of MIG mode."""
    note_slices(directory, {"MIG-1": "GPU-a"})
    hold(directory, ["MIG-1", "GPU-a"], "the agent").release()


def test_on_which_device_a_slice_is_may_be_noted_over_and_over(directory: Path) -> None:
    for _ in range(2):
        note_slices(directory, {"MIG-GPU-a/1/0": "GPU-a"})
    assert claims_in(directory) == ()
    with hold(directory, ["MIG-GPU-a/1/0"], "app.1"), pytest.raises(DeviceInUse, match="GPU-a is held by app"):
        hold(directory, ["GPU-a"], "step.mine")


def test_a_slice_that_is_gone_leaves_no_file(directory: Path) -> None:
    note_slices(directory, {"MIG-1": "GPU-a"})
    with hold(directory, ["MIG-1", "MIG-11"], "the agent"), hold(directory, ["MIG-2"], "app.1", shares=2):
        forget(directory, ["MIG-1", "MIG-2"])
        assert sorted(path.name for path in directory.iterdir()) == ["GPU-a", "MIG-11"]


def test_who_gets_the_lock_of_a_file_that_is_gone_takes_the_file_that_others_see(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated slice that comes back has its old name; its file went away between opening and locking it."""
    flock = fcntl.flock
    forgotten: list[int] = []

    def forget_then_lock(file: int, kind: int) -> None:
        if not forgotten:
            forgotten.append(file)
            forget(directory, ["SIM-MIG-a"])
        flock(file, kind)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", forget_then_lock)
        hold(directory, ["SIM-MIG-a"], "app.1")
    assert taken(directory) == [("SIM-MIG-a", os.getpid())]
    with pytest.raises(DeviceInUse):
        hold(directory, ["SIM-MIG-a"], "app.2")


def test_nobody_is_refused_because_somebody_looks(directory: Path) -> None:
    """Looking whether a file is locked locks it for a moment; here for a long one."""
    hold(directory, ["GPU-a"], "step.mine").release()
    with (directory / "GPU-a").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        looking = threading.Timer(0.03, fcntl.flock, (file, fcntl.LOCK_UN))
        looking.start()
        hold(directory, ["GPU-a"], "step.mine").release()
        looking.join()
