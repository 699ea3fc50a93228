"""What applying a document of GPUs, nodes or workloads would do. Pure."""

from __future__ import annotations

from control.specs.cluster import Cluster
from control.specs.deployment import Deployment
from control.specs.gpu_policy import ClusterPolicy, ConfigMap, MigRule
from control.specs.line import Line
from control.specs.quantity import show_bytes
from control.specs.workload import Workload


def preview(spec: ConfigMap | ClusterPolicy | Workload | Deployment | Cluster) -> list[Line]:
    match spec:
        case ConfigMap():
            layouts = spec.data.mig_config.layouts.items()
            return [line for layout, rules in layouts for rule in rules for line in _devices(layout, rule)]
        case ClusterPolicy():
            return _policy(spec)
        case Workload():
            return [_workload(spec)]
        case Deployment():
            return [_deployment(spec)]
        case Cluster():
            return _cluster(spec)


def _devices(layout: str, rule: MigRule) -> list[Line]:
    """One line for each device of a rule."""
    facts = tuple(f"{count} × {profile}" for profile, count in rule.mig_devices.items())
    if not facts:
        facts = ("MIG on, no slices",) if rule.mig_enabled else ("whole GPU, MIG off",)
    names = ["all devices"] if rule.devices == "all" else [f"device {device}" for device in rule.devices]
    return [Line("MIG layout", f"{layout}, {name}", facts) for name in names]


def _policy(spec: ClusterPolicy) -> list[Line]:
    """Priority classes from the most urgent down, then preemption and sharing."""
    classes = sorted(spec.priorities, key=lambda one: -one.priority)
    lines = [Line("priority class", one.name, (f"priority {one.priority}",)) for one in classes]
    enabled = spec.spec.scheduling.preemption.enabled
    lines.append(Line("preemption", spec.name, ("enabled" if enabled else "disabled",)))
    if spec.spec.device_plugin is not None:
        config = spec.spec.device_plugin.config
        default = (f"default {config.default}",) if config.default else ()
        lines.append(Line("GPU sharing", config.name, default))
    return lines


def _workload(spec: Workload) -> Line:
    asked = spec.spec
    facts = [f"{asked.type} workload", f"{asked.devices} devices", f"priority class {asked.priority}"]
    if asked.device_memory:
        facts.append(f"{show_bytes(asked.device_memory)} on each device")
    if asked.memory:
        facts.append(f"{show_bytes(asked.memory)} memory")
    return Line("workload", spec.name, tuple(facts))


def _deployment(spec: Deployment) -> Line:
    wanted = spec.spec
    facts = [
        f"model {wanted.model}, version {wanted.version}",
        f"{wanted.replicas} replicas of {wanted.devices} devices",
        f"priority class {wanted.priority}",
    ]
    if wanted.memory:
        facts.append(f"{show_bytes(wanted.memory)} memory each")
    facts += [f"engine {name}={value}" for name, value in wanted.engine.items()]
    return Line("deployment", spec.name, tuple(facts))


def _cluster(spec: Cluster) -> list[Line]:
    lines = []
    for node in spec.spec.nodes:
        devices = f"{node.gpus} simulated {node.gpu_model}, {show_bytes(node.gpu_memory)} each"
        host = f"{node.cpus} CPUs, {show_bytes(node.memory)} memory"
        lines.append(Line("node", node.name, (devices, f"joined by {node.interconnect}", host)))
    for name, port in spec.spec.ports:
        lines.append(Line("port", name, (str(port) if port else "a free one",)))
    return lines
