"""MIG layouts that people declare: which nodes they are for, and whether they can be had there. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from control.scheduler.mig import GEOMETRIES, Geometry, geometry_of, nearest_profile
from control.scheduler.mig_layouts import count_fault
from control.scheduler.state import Node
from control.specs.cluster import MIG_LAYOUT, MIG_ON_DEMAND, Cluster
from control.specs.gpu_policy import ConfigMap, MigRule
from control.specs.problem import Fault, Loc, nearest, one_of

Layouts = Mapping[str, Mapping[int, Mapping[str, int]]]
"""Layout → device index → profile → how many. An index of -1 stands for every device."""
EVERY = -1
_LAYOUTS = ("data", "mig-config", "mig-configs")


@dataclass(frozen=True)
class Site:
    """A node, or many that are declared alike, as far as cutting is concerned. `memory` of a device in bytes."""

    name: str
    layout: str
    model: str
    memory: int
    devices: int


def layouts_of(config_maps: Iterable[ConfigMap]) -> Layouts:
    """All layouts of all ConfigMaps; of two by one name the later."""
    return {
        name: {
            device: dict(rule.mig_devices)
            for rule in rules
            for device in ((EVERY,) if rule.devices == "all" else rule.devices)
        }
        for config_map in config_maps
        for name, rules in config_map.layouts.items()
    }


def sites_of(nodes: Iterable[Node], clusters: Iterable[Cluster]) -> tuple[Site, ...]:
    """The nodes that carry a layout's name: those that are declared, and others that are known."""
    declared = [node for cluster in clusters for node in cluster.spec.nodes]
    found = {one.name: Site(one.name, one.layout, one.gpu_model, one.gpu_memory, one.gpus) for one in declared}
    for node in nodes:
        memory = max((device.memory for device in node.devices), default=0)
        found.setdefault(node.name, Site(node.name, node.layout, node.gpu_model, memory, len(node.devices)))
    return tuple(site for site in found.values() if site.layout)


def layout_faults(config_map: ConfigMap, sites: Iterable[Site]) -> Iterator[Fault]:
    """Rules that cannot be had on the nodes that carry the layout's name; where none does, on no device that MIG knows.

    The first node that fails speaks for all.
    """
    sites = list(sites)
    for layout, rules in config_map.layouts.items():
        for index, rule in enumerate(rules):
            path = (*_LAYOUTS, layout, index)
            here = [site for site in sites if site.layout == layout]
            found = (_not_on(site, rule, path) for site in here) if here else iter([_nowhere(rule, path)])
            fault = next(filter(None, found), None)
            if fault is not None:
                yield fault


def cluster_faults(cluster: Cluster, raw: Mapping[str, Any], config_maps: Iterable[ConfigMap]) -> Iterator[Fault]:
    """Labels of nodes that name a layout which is nowhere, or one that the node's devices cannot have.

    `raw` is the document as it was written: there a node may stand for many.
    """
    layouts = {name: rules for one in config_maps for name, rules in one.layouts.items()}
    first = 0
    for index, written in enumerate(raw["spec"]["nodes"]):
        node = cluster.spec.nodes[first]
        first += written.get("count", 1)
        labels: Loc = ("spec", "nodes", index, "labels")
        site = Site(node.name, node.layout, node.gpu_model, node.gpu_memory, node.gpus)
        if node.layout and node.layout not in layouts:
            found, expected = f"no ConfigMap has a layout {node.layout!r}", one_of(layouts, "a layout of a ConfigMap")
            yield Fault((*labels, MIG_LAYOUT), found, expected, nearest(node.layout, layouts))
        elif node.carve and geometry_of(node.gpu_model, node.gpu_memory) is None:
            yield Fault((*labels, MIG_ON_DEMAND), _uncut(site), "no such label")
        for rule in layouts.get(node.layout, ()):
            if fault := _not_on(site, rule, (*labels, MIG_LAYOUT)):
                yield replace(fault, path=(*labels, MIG_LAYOUT))
                break


def _not_on(site: Site, rule: MigRule, path: Loc) -> Fault | None:
    """Why a node cannot have the rule."""
    for place, device in enumerate(() if rule.devices == "all" else rule.devices):
        if device >= site.devices:
            found = f"{site.name} has {site.devices} devices, none with the index {device}"
            return Fault((*path, "devices", place), found, f"an index below {site.devices}")
    if not rule.mig_enabled:
        return None
    geometry = geometry_of(site.model, site.memory)
    if geometry is None:
        return Fault((*path, "mig-enabled"), _uncut(site), "mig-enabled: false there")
    for profile in rule.mig_devices:
        if profile not in geometry.profiles:
            found, known = f"{site.name} has {site.model}, which has no {profile}", geometry.profiles
            return Fault((*path, "mig-devices", profile), found, one_of(known), nearest_profile(profile, known))
    return _collision(geometry, rule, path, f" on the {site.model} of {site.name}")


def _nowhere(rule: MigRule, path: Loc) -> Fault | None:
    """Why no device that MIG knows can have the rule."""
    known = sorted({profile for geometry in GEOMETRIES for profile in geometry.profiles})
    for profile in rule.mig_devices:
        if profile not in known:
            found = f"no device that is known here has a profile {profile!r}"
            return Fault((*path, "mig-devices", profile), found, one_of(known), nearest_profile(profile, known))
    able = [geometry for geometry in GEOMETRIES if geometry.profiles.keys() >= rule.mig_devices.keys()]
    if not able:
        return Fault(
            (*path, "mig-devices"), "no device that is known here has all of these profiles", "those of one kind"
        )
    faults = [_collision(geometry, rule, path, "") for geometry in able]
    return faults[0] if all(faults) else None


def _collision(geometry: Geometry, rule: MigRule, path: Loc, where: str) -> Fault | None:
    """Which slice finds no place, and what could be had instead."""
    illegal = count_fault(geometry, rule.mig_devices)
    if illegal is None:
        return None
    instead = Counter(one.profile for one in illegal.instead)
    near = ", ".join(f"{count} × {profile}" for profile, count in instead.items())
    return Fault((*path, "mig-devices"), f"{illegal.found}{where}", f"a layout such as {near}")


def _uncut(site: Site) -> str:
    return f"{site.name} has {site.model}, which cannot be cut into slices"
