"""kinds ConfigMap (MIG layouts) and ClusterPolicy (sharing, priorities): the GPU Operator's dialect."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from control.specs.base import AtLeastOne, Filled, Items, Manifest, Name, Spec, Waits, named_once
from control.specs.problem import refuse, show

_PROFILE = re.compile(r"([1-7]c\.)?[1-7]g\.[0-9]{1,3}gb(\+me(\.all)?|\+gfx|-me)?")


def _is_profile(profile: str) -> str:
    if not _PROFILE.fullmatch(profile):
        raise refuse(f"found {show(profile)}", "a MIG profile such as 1g.10gb or 3g.40gb")
    return profile


def _is_device_list(value: object) -> object:
    if value == "all":
        return value
    if isinstance(value, list | tuple) and value:
        for index, device in enumerate(value):
            if not isinstance(device, int) or isinstance(device, bool) or device < 0:
                raise refuse(f"found {show(device)}", "a device index: 0 or more", at=(index,))
            if device in value[:index]:
                raise refuse(f"device {device} is listed twice", "every device once", at=(index,))
        return tuple(value)
    raise refuse(f"found {show(value)}", "a list of device indexes such as [0, 1], or all")


Devices = Annotated[tuple[int, ...] | Literal["all"], BeforeValidator(_is_device_list)]
Profile = Annotated[str, AfterValidator(_is_profile)]
Slices = Annotated[int, Field(ge=1)]


class MigRule(Spec):
    """How some devices of a node are cut. `mig_devices` counts the slices of each profile on each device."""

    devices: Devices
    mig_enabled: bool = Field(alias="mig-enabled")
    mig_devices: dict[Profile, Slices] = Field(default={}, alias="mig-devices")

    @model_validator(mode="after")
    def _has_slices_only_when_enabled(self) -> Self:
        if self.mig_devices and not self.mig_enabled:
            raise refuse(
                "slices are listed although mig-enabled is false",
                "mig-enabled: true, or no mig-devices",
                at=("mig-devices",),
            )
        return self


def _claims_a_device_once(rules: tuple[MigRule, ...]) -> tuple[MigRule, ...]:
    claimed: set[int] = set()
    for index, rule in enumerate(rules):
        if rule.devices == "all":
            if len(rules) > 1:
                raise refuse("'all' stands beside other devices", "all alone", at=(index, "devices"))
        else:
            for place, device in enumerate(rule.devices):
                if device in claimed:
                    at = (index, "devices", place)
                    raise refuse(f"device {device} is already cut by this layout", "every device once", at=at)
            claimed.update(rule.devices)
    return rules


Layout = Annotated[Items[MigRule], AtLeastOne, AfterValidator(_claims_a_device_once)]


class MigConfig(Spec):
    version: Literal["v1"]
    layouts: Annotated[dict[Name, Layout], AtLeastOne] = Field(alias="mig-configs")


class ConfigData(Spec):
    mig_config: Annotated[MigConfig, Waits("scheduler")] = Field(alias="mig-config")


class ConfigMap(Manifest):
    """In a file `data.mig-config` is text holding YAML; `load` opens it before this model sees it."""

    api_version: Literal["v1"] = Field(default="v1", alias="apiVersion")
    kind: Literal["ConfigMap"] = "ConfigMap"
    data: ConfigData


class PluginConfig(Spec):
    name: Filled
    default: Filled | None = None


class DevicePlugin(Spec):
    config: PluginConfig


class PriorityClass(Spec):
    """Higher `priority` goes first."""

    name: Name
    priority: Annotated[int, Field(ge=0, le=1_000_000_000)]


class Preemption(Spec):
    enabled: Annotated[bool, Waits("scheduler")] = False
    priorities: Annotated[Items[PriorityClass], named_once("priority class")] = ()


class Scheduling(Spec):
    preemption: Preemption = Preemption()


class ClusterPolicySpec(Spec):
    device_plugin: Annotated[DevicePlugin | None, Waits("scheduler")] = Field(default=None, alias="devicePlugin")
    scheduling: Scheduling = Scheduling()


class ClusterPolicy(Manifest):
    api_version: Literal["nvidia.com/v1"] = Field(default="nvidia.com/v1", alias="apiVersion")
    kind: Literal["ClusterPolicy"] = "ClusterPolicy"
    spec: ClusterPolicySpec

    @property
    def priorities(self) -> tuple[PriorityClass, ...]:
        return self.spec.scheduling.preemption.priorities
