"""Whether a model fits on the devices that a deployment may get, before anything is loaded. Pure on objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from control.kernel.store import Object
from control.scheduler.mig import geometry_of
from control.scheduler.state import Ask, Device, Node
from control.specs.deployment import DeploymentSpec
from control.specs.footprint import UNTOLD, ModelFacts, Need, longest_in, need_of, room_of
from control.specs.problem import Fault, Loc
from control.specs.quantity import show_bytes

GIB = 1 << 30
_AT_WORST = 8
"""So often is the number of devices doubled to find one that is enough."""


def memory_faults(spec: DeploymentSpec, version: Object | None, nodes: Sequence[Node]) -> Iterator[Fault]:
    """The version whose first sequence of full length fits on no device that it may get."""
    told = _told(spec, version, nodes)
    if told is None:
        return
    name, facts, memories = told
    devices, room = _parts(spec), room_of(max(memories), spec.engine)
    need = need_of(facts, spec.engine, devices)
    if need.least > room:
        each = f"each of {devices} devices" if devices > 1 else "a device"
        found = (
            f"{name} needs {_size(need.least)} on {each} for its weights of {_size(facts.weights)} and one sequence of "
            f"{need.length} tokens; the largest that it may get has {_size(room)} for it, of {_size(max(memories))}"
        )
        yield Fault(_place(spec, "max_model_len"), found, " or ".join(_choices(spec, facts, need, room, nodes)))


def memory_notes(spec: DeploymentSpec, version: Object | None, nodes: Sequence[Node]) -> Iterator[Fault]:
    """What starts, but not with all the requests at full length that it takes at once, or not on every device."""
    told = _told(spec, version, nodes)
    if told is None:
        return
    name, facts, memories = told
    need = need_of(facts, spec.engine, _parts(spec))
    rooms = {memory: room_of(memory, spec.engine) for memory in sorted(memories)}
    able = {memory: room for memory, room in rooms.items() if need.least <= room}
    if not able:
        return
    if small := [_size(memory) for memory in rooms if memory not in able]:
        found = f"{name} needs {_size(need.least)} on each device: those with {', '.join(small)} are too small for it"
        yield Fault(("spec", "model"), found, f"device_memory: {show_bytes(min(able))}, which keeps it off them")
    least = min(able)
    if need.full > able[least]:
        one = (need.full - need.least) // max(1, need.sequences - 1)
        fitting = 1 + (able[least] - need.least) // one
        found = (
            f"of the {need.sequences} requests that it takes at once {fitting} fit at their full length of "
            f"{need.length} tokens on a device of {_size(least)}: {_size(need.full)} would be needed; others wait"
        )
        yield Fault(_place(spec, "max_num_seqs"), found)


def _told(
    spec: DeploymentSpec, version: Object | None, nodes: Iterable[Node]
) -> tuple[str, ModelFacts, frozenset[int]] | None:
    """The version's name and facts, and the memory of the devices; None where something of it is unknown."""
    facts = None if version is None else ModelFacts.read(version.spec.get("tags", {}))
    memories = _memories(spec, nodes)
    if version is None or facts is None or not spec.devices or not memories or UNTOLD & spec.engine.keys():
        return None
    return version.name, facts, memories


def _memories(spec: DeploymentSpec, nodes: Iterable[Node]) -> frozenset[int]:
    """Bytes of each kind of device, or part of one, that a replica may get; empty where that is unknown."""
    if spec.share:
        return frozenset({spec.device_memory})
    asked = Ask(models=frozenset(spec.gpu_models))
    able = [node for node in nodes if asked.accepts(node.gpu_model) and len(node.devices) >= spec.devices]
    found = {_memory(spec, node, device) for node in able for device in node.devices}
    return frozenset() if 0 in found else frozenset(memory for memory in found if memory >= spec.device_memory)


def _memory(spec: DeploymentSpec, node: Node, device: Device) -> int:
    """Of the device, or of the slice of it that is asked for; -1 where it has no such slice, 0 where nobody knows."""
    if spec.slice is None:
        return device.memory
    geometry = geometry_of(node.gpu_model, device.memory)
    profiles = {} if geometry is None else geometry.profiles
    return profiles[spec.slice].memory if spec.slice in profiles else -1


def _parts(spec: DeploymentSpec) -> int:
    """Into how many parts the model is cut: over all devices, unless the engine is told otherwise."""
    tensor, pipeline = (spec.engine.get(f"{kind}_parallel_size") for kind in ("tensor", "pipeline"))
    if not isinstance(tensor, int):
        return spec.devices
    return tensor * pipeline if isinstance(pipeline, int) else tensor


def _choices(spec: DeploymentSpec, facts: ModelFacts, need: Need, room: int, nodes: Iterable[Node]) -> Iterator[str]:
    """What would fit, the smallest change first."""
    parts = _parts(spec)
    longest = longest_in(room, facts, spec.engine, parts)
    if longest:
        yield f"max_model_len of at most {longest}"
    if not spec.share and spec.slice is None:
        most = max(len(node.devices) for node in nodes)
        more = (parts << doubled for doubled in range(1, _AT_WORST))
        enough = next((n for n in more if n <= most and need_of(facts, spec.engine, n).least <= room), None)
        if enough is not None:
            with_it = " (and tensor_parallel_size)" if "tensor_parallel_size" in spec.engine else ""
            yield f"devices: {enough}{with_it}"
    yield f"devices with {_size(int(need.least / room_of(GIB, spec.engine) * GIB))} or more"


def _place(spec: DeploymentSpec, setting: str) -> Loc:
    return ("spec", "engine", setting) if setting in spec.engine else ("spec", "model")


def _size(amount: int) -> str:
    return f"{amount / GIB:.1f} GiB"
