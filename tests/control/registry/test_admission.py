"""What `apply` says of a deployment whose version may not be deployed."""

from __future__ import annotations

from control.kernel.store import Object
from control.registry.admission import version_faults
from control.registry.state import Stage
from control.registry.view import OVERRIDE, RETIREMENT
from tests.control.registry.world import GATE_FAILED, seen

PATH = ("spec", "version")


def stored(kind: str, name: str, **spec: object) -> Object:
    return Object(kind, name, "u", 1, 1, spec, {}, 0.0, 0.0)


def version(number: int, gate: str = "") -> Object:
    return stored("ModelVersion", f"chat@{number}", **seen(number, gate=gate).spec)


def ruling(kind: str, number: int) -> Object:
    return stored(kind, f"chat@{number}", by="ada", reason="it leaks")


def found(wanted: int | None, *objects: Object, role: Stage = Stage.PRODUCTION) -> list[str]:
    return [
        f"{fault.found}; expected {fault.expected}" for fault in version_faults("chat", wanted, PATH, objects, role)
    ]


def test_a_retired_version_is_refused_with_who_and_why_and_one_that_may_be_deployed() -> None:
    (said,) = found(1, version(1), version(2), ruling(RETIREMENT, 1))
    assert "chat@1 was retired by ada: it leaks; biplane restore model/chat@1 takes it back" in said
    assert "expected version 2, or another that may be deployed" in said


def test_a_version_that_failed_its_gate_may_be_a_shadow_or_overridden() -> None:
    failed = version(1, GATE_FAILED)
    (said,) = found(1, failed)
    assert "chat@1 failed its evaluation gate (accuracy 0.81, needed 0.92)" in said
    assert len(found(1, failed, role=Stage.CANARY)) == 1
    assert found(1, failed, role=Stage.SHADOW) == []
    assert found(1, failed, ruling(OVERRIDE, 1)) == []


def test_the_latest_is_refused_only_when_no_version_may_be_deployed() -> None:
    assert found(None, version(1), version(2, GATE_FAILED)) == []
    (said,) = found(None, version(1, GATE_FAILED), version(2), ruling(RETIREMENT, 2))
    assert "chat@2 was retired" in said


def test_a_version_that_is_not_registered_yet_is_waited_for() -> None:
    assert found(7, version(1)) == []
    assert found(None) == []
