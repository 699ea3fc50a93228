"""kinds ConfigMap (MIG layouts, time-slicing) and ClusterPolicy (sharing, priorities): the GPU Operator's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from control.specs.base import AtLeastOne, Filled, Items, Manifest, Name, Spec, Waits, named_once
from control.specs.mig_profile import Profile
from control.specs.problem import refuse, show


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


_NO_PLUGIN = "the plane hands devices out itself and runs no device plugin"


def _is_whole_device(name: object) -> object:
    if name != GPU:
        raise refuse(f"found {show(name)}", f"{GPU}: a MIG slice is given to one workload at a time")
    return name


GPU = "nvidia.com/gpu"


class SharedResource(Spec):
    """`replicas` workloads at most hold one device at the same time."""

    name: Annotated[str, BeforeValidator(_is_whole_device)]
    replicas: Annotated[int, Field(ge=1, le=1000)]
    rename: Annotated[Filled | None, Waits("operation", _NO_PLUGIN)] = None
    devices: Annotated[JsonValue, Waits("operation", "NVIDIA's plugin shares all devices too")] = "all"


class TimeSlicing(Spec):
    """`training` is Biplane's own: it opens shared devices to training and batch, which otherwise get whole ones."""

    resources: Annotated[Items[SharedResource], AtLeastOne, named_once("resource")]
    rename_by_default: Annotated[bool, Waits("operation", _NO_PLUGIN)] = Field(default=False, alias="renameByDefault")
    fail_requests_greater_than_one: Annotated[bool, Waits("operation", "a share is always of one device")] = Field(
        default=False, alias="failRequestsGreaterThanOne"
    )
    training: bool = False


class SharingStrategy(Spec):
    time_slicing: TimeSlicing = Field(alias="timeSlicing")


class SharingConfig(Spec):
    """The configuration file of NVIDIA's device plugin, as far as it concerns time-slicing."""

    version: Literal["v1"] = "v1"
    flags: Annotated[dict[str, JsonValue], Waits("operation", _NO_PLUGIN)] = Field(default={})
    sharing: SharingStrategy

    @property
    def replicas(self) -> int:
        """How many workloads may hold one device at the same time."""
        return self.sharing.time_slicing.resources[0].replicas


class ConfigData(Spec):
    """MIG layouts under `mig-config`; under any other name a configuration of the device plugin."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, SharingConfig]

    mig_config: MigConfig | None = Field(default=None, alias="mig-config")

    @model_validator(mode="before")
    @classmethod
    def _holds_something(cls, data: Any) -> Any:
        if data == {}:
            raise refuse("nothing is listed", "mig-config, or a configuration of the device plugin by its name")
        for name, value in data.items() if isinstance(data, dict) else ():
            if name != "mig-config" and isinstance(value, dict) and "mig-configs" in value:
                raise refuse(f"MIG layouts under {show(name)}", "mig-config", nearest="mig-config", at=(name,))
        return data


class ConfigMap(Manifest):
    """In a file each value of `data` is text holding YAML; `load` opens it before this model sees it."""

    api_version: Literal["v1"] = Field(default="v1", alias="apiVersion")
    kind: Literal["ConfigMap"] = "ConfigMap"
    data: ConfigData

    @property
    def layouts(self) -> Mapping[str, tuple[MigRule, ...]]:
        return {} if self.data.mig_config is None else self.data.mig_config.layouts

    @property
    def sharing(self) -> Mapping[str, SharingConfig]:
        """The device plugin's configurations by name."""
        return self.data.__pydantic_extra__


class PluginConfig(Spec):
    """The ConfigMap `name`, and which of its configurations every node has; without `default` nothing is shared."""

    name: Filled
    default: Filled | None = None


class DevicePlugin(Spec):
    config: PluginConfig


class PriorityClass(Spec):
    """Higher `priority` goes first."""

    name: Name
    priority: Annotated[int, Field(ge=0, le=1_000_000_000)]


class Preemption(Spec):
    enabled: bool = False
    priorities: Annotated[Items[PriorityClass], named_once("priority class")] = ()


class Scheduling(Spec):
    preemption: Preemption = Preemption()


class ClusterPolicySpec(Spec):
    device_plugin: DevicePlugin | None = Field(default=None, alias="devicePlugin")
    scheduling: Scheduling = Scheduling()


class ClusterPolicy(Manifest):
    api_version: Literal["nvidia.com/v1"] = Field(default="nvidia.com/v1", alias="apiVersion")
    kind: Literal["ClusterPolicy"] = "ClusterPolicy"
    spec: ClusterPolicySpec

    @property
    def priorities(self) -> tuple[PriorityClass, ...]:
        return self.spec.scheduling.preemption.priorities
