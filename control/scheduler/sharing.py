"""How many workloads may share a device: the configuration that a ClusterPolicy names, or the default. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from control.scheduler.state import Sharing
from control.specs.gpu_policy import ClusterPolicy, ConfigMap, PluginConfig
from control.specs.problem import Fault, nearest, one_of

DEFAULT_REPLICAS = 4
"""How many workloads share a device when a policy names a configuration that nobody has applied."""
_CONFIG = ("spec", "devicePlugin", "config")


def sharing_of(policies: Iterable[ClusterPolicy], config_maps: Iterable[ConfigMap]) -> Sharing:
    """What the last policy that names a configuration says; nothing is shared when none names one for every node."""
    named = [config for policy in policies if (config := _named(policy)) is not None]
    if not named or named[-1].default is None:
        return Sharing()
    config, default = named[-1], named[-1].default
    found = {one.name: one.sharing for one in config_maps}.get(config.name, {}).get(default)
    if found is None:
        return Sharing(DEFAULT_REPLICAS, source=f"the default: there is no {default} in a ConfigMap {config.name}")
    return Sharing(found.replicas, found.sharing.time_slicing.training, f"{default} in ConfigMap {config.name}")


def sharing_faults(policy: ClusterPolicy, config_maps: Iterable[ConfigMap]) -> Iterator[Fault]:
    """A configuration that is not in the ConfigMap that is named for it."""
    config = _named(policy)
    if config is None or config.default is None:
        return
    known = {one.name: sorted(one.sharing) for one in config_maps}
    names = known.get(config.name)
    if names is not None and config.default not in names:
        found = f"ConfigMap {config.name!r} has no configuration {config.default!r}"
        expected = one_of(names, "one that shares devices")
        yield Fault((*_CONFIG, "default"), found, expected, nearest(config.default, names))


def sharing_note(policy: ClusterPolicy, config_maps: Iterable[ConfigMap]) -> Iterator[Fault]:
    """That the ConfigMap which the policy names is not there, and what holds until it is."""
    config = _named(policy)
    if config is not None and config.name not in {one.name for one in config_maps}:
        then = f"{DEFAULT_REPLICAS} workloads at most share a device" if config.default else "no device is shared"
        yield Fault((*_CONFIG, "name"), f"there is no ConfigMap {config.name!r} yet: until there is, {then}")


def _named(policy: ClusterPolicy) -> PluginConfig | None:
    plugin = policy.spec.device_plugin
    return None if plugin is None else plugin.config
