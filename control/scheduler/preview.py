"""What applying a document of GPUs, nodes, queues or workloads would do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from control.specs.cluster import Cluster, Node
from control.specs.deployment import Deployment, DeploymentSpec
from control.specs.gpu_policy import ClusterPolicy, ConfigMap, MigRule, SharingConfig
from control.specs.line import Line
from control.specs.quantity import show_bytes, show_seconds
from control.specs.queue import Queue
from control.specs.workload import DeviceAsk, Workload


def preview(spec: ConfigMap | ClusterPolicy | Workload | Deployment | Cluster | Queue) -> list[Line]:
    match spec:
        case ConfigMap():
            layouts = spec.layouts.items()
            cut = [line for layout, rules in layouts for rule in rules for line in _devices(layout, rule)]
            return cut + [_sharing(name, config) for name, config in spec.sharing.items()]
        case ClusterPolicy():
            return _policy(spec)
        case Workload():
            return [_workload(spec)]
        case Deployment():
            return [_deployment(spec)]
        case Cluster():
            return _cluster(spec)
        case Queue():
            return [_queue(spec)]


def _devices(layout: str, rule: MigRule) -> list[Line]:
    """One line for each device of a rule."""
    facts = tuple(f"{count} × {profile}" for profile, count in rule.mig_devices.items()) or ("whole GPU, MIG off",)
    names = ["all devices"] if rule.devices == "all" else [f"device {device}" for device in rule.devices]
    return [Line("MIG layout", f"{layout}, {name}", facts) for name in names]


def _sharing(name: str, config: SharingConfig) -> Line:
    kinds = "inference, training and batch" if config.sharing.time_slicing.training else "inference only"
    return Line("time-slicing", name, (f"{config.replicas} workloads at most on a device", kinds))


def _policy(spec: ClusterPolicy) -> list[Line]:
    """Priority classes from the most urgent down, then preemption and sharing."""
    classes = sorted(spec.priorities, key=lambda one: -one.priority)
    lines = [Line("priority class", one.name, (f"priority {one.priority}",)) for one in classes]
    enabled = spec.spec.scheduling.preemption.enabled
    lines.append(Line("preemption", spec.name, ("enabled" if enabled else "disabled",)))
    if spec.spec.device_plugin is not None:
        config = spec.spec.device_plugin.config
        default = (f"default {config.default}",) if config.default else ("no default: no device is shared",)
        lines.append(Line("GPU sharing", config.name, default))
    return lines


def _workload(spec: Workload) -> Line:
    asked = spec.spec
    facts = [f"{asked.type} workload", f"{asked.devices} devices", f"priority class {asked.priority}"]
    if asked.least is not None:
        facts[1] = f"{asked.least} to {asked.devices} devices"
    if asked.replicas > 1:
        facts[1] += f" for {asked.replicas} replicas"
    facts += _device_facts(asked)
    if asked.memory:
        facts.append(f"{show_bytes(asked.memory)} memory")
    if asked.cpus:
        facts.append(f"{asked.cpus:g} CPUs")
    if asked.span is not None:
        facts.append(f"within one {asked.span}")
    if asked.duration is not None:
        facts.append(f"runs {show_seconds(asked.duration)}")
    saves = "saves its work and " if asked.saves else ""
    facts.append(f"{saves}gives way within {show_seconds(asked.grace)}" if asked.preemptible else "never gives way")
    return Line("workload", spec.name, tuple(facts))


def _deployment(spec: Deployment) -> Line:
    wanted = spec.spec
    facts = [
        f"model {wanted.model}, version {wanted.version}",
        f"{_replicas(wanted)} replicas of {wanted.devices} devices",
        f"priority class {wanted.priority}",
    ]
    facts += _device_facts(wanted)
    if wanted.memory:
        facts.append(f"{show_bytes(wanted.memory)} memory each")
    if wanted.cpus:
        facts.append(f"{wanted.cpus:g} CPUs each")
    facts += [f"engine {name}={value}" for name, value in wanted.engine.items()]
    facts += [f"adapter {one.name} (model {one.model}, version {one.version})" for one in wanted.adapters]
    return Line("deployment", spec.name, tuple(facts))


def _replicas(spec: DeploymentSpec) -> str:
    return str(spec.replicas) if spec.autoscaling is None else f"{spec.autoscaling.min} to {spec.autoscaling.max}"


def _device_facts(ask: DeviceAsk) -> Iterable[str]:
    """What is asked of each device, in the order in which the scheduler would try it."""
    if ask.queue is not None:
        yield f"queue {ask.queue}"
    if ask.gpu_models:
        yield f"on {' or '.join(ask.gpu_models)}"
    if ask.latency_ms is not None:
        rate = f" at {ask.requests_per_second:g} requests/s" if ask.requests_per_second else ""
        yield f"latency {ask.latency_ms:g} ms{rate}"
    for profile in ask.profiles:
        speed = f"{profile.latency_ms:g} ms at {profile.requests_per_second:g} requests/s"
        memory = f", {show_bytes(profile.memory)}" if profile.memory else ""
        yield f"slice {profile.slice}: {speed}{memory}"
    if ask.slice is not None:
        yield f"MIG slice {ask.slice}"
    if ask.share is not None:
        yield f"{ask.share:.3g} of a device"
    if ask.device_memory:
        yield f"{show_bytes(ask.device_memory)} on each device"


def _queue(spec: Queue) -> Line:
    asked = spec.spec
    facts = [f"{asked.quota} devices of its own"]
    if asked.parent is not None:
        borrow = "without bound" if asked.borrow is None else f"{asked.borrow} at most"
        lend = "all that is idle" if asked.lend is None else f"{asked.lend} at most"
        facts += [f"in cohort {asked.parent}", f"borrows {borrow}", f"lends {lend}"]
    return Line("queue", spec.name, (*facts, f"weight {asked.weight:g}"))


def _cluster(spec: Cluster) -> list[Line]:
    """One line for each run of nodes that are alike but for their names."""
    lines = []
    for _, alike in groupby(spec.spec.nodes, key=lambda node: node.model_copy(update={"name": ""})):
        nodes = list(alike)
        names = nodes[0].name if len(nodes) == 1 else f"{nodes[0].name} … {nodes[-1].name}"
        lines.append(Line("node", names, tuple(_node_facts(nodes[0], len(nodes)))))
    for name, port in spec.spec.ports:
        lines.append(Line("port", name, (str(port) if port else "a free one",)))
    return lines


def _node_facts(node: Node, count: int) -> Iterable[str]:
    if count > 1:
        yield f"{count} nodes"
    yield f"{node.gpus} simulated {node.gpu_model}, {show_bytes(node.gpu_memory)} each"
    yield f"joined by {node.interconnect}"
    yield f"{node.cpus} CPUs, {show_bytes(node.memory)} memory"
    if node.rack is not None:
        yield f"rack {node.rack}"
    if node.layout:
        yield f"MIG layout {node.layout}"
    if node.carve:
        yield "idle devices are cut into slices on demand"
