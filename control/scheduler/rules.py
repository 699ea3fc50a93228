"""The rules that the applied documents come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from control.scheduler.decide import DEFAULT_PRIORITIES
from control.scheduler.layout import layouts_of
from control.scheduler.queue import queue_of
from control.scheduler.sharing import sharing_of
from control.scheduler.state import Rules
from control.specs.gpu_policy import ClusterPolicy, ConfigMap
from control.specs.queue import Queue


def rules_of(policies: Sequence[ClusterPolicy], config_maps: Sequence[ConfigMap], queues: Iterable[Queue]) -> Rules:
    """Of two policies that name one class the later counts; one that enables preemption is enough."""
    return Rules(
        priorities=priorities_in(policies),
        preemption=any(policy.spec.scheduling.preemption.enabled for policy in policies),
        sharing=sharing_of(policies, config_maps),
        queues=tuple(queue_of(queue) for queue in queues),
        layouts=layouts_of(config_maps),
    )


def priorities_in(policies: Iterable[ClusterPolicy]) -> Mapping[str, int]:
    """The priority classes: those that always are, with what the policies add and change."""
    return {**DEFAULT_PRIORITIES, **{one.name: one.priority for policy in policies for one in policy.priorities}}
