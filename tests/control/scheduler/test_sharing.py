"""How many may share a device: what the policy names, the default, or nobody."""

from __future__ import annotations

import pytest

from control.scheduler.sharing import DEFAULT_REPLICAS, sharing_of
from control.scheduler.state import Sharing
from control.specs.gpu_policy import ClusterPolicy, ConfigMap
from control.specs.load import load_file, load_text
from tests.control.specs.samples import MISSION, TIME_SLICING, broken

SILENT = ClusterPolicy.model_validate({"metadata": {"name": "silent"}, "spec": {}})


def policy(name: str = "slicing", default: str | None = "sharing") -> ClusterPolicy:
    spec = {"devicePlugin": {"config": {"name": name, "default": default}}}
    return ClusterPolicy.model_validate({"metadata": {"name": "policy"}, "spec": spec})


def config_map(text: str = TIME_SLICING) -> ConfigMap:
    (document,) = load_text(text, "f.yaml")
    assert isinstance(document.spec, ConfigMap)
    return document.spec


def test_the_configuration_that_the_policy_names_counts() -> None:
    assert sharing_of([policy()], [config_map()]) == Sharing(4, False, "sharing in ConfigMap slicing")


def test_the_configuration_may_open_devices_to_training() -> None:
    opened = broken(TIME_SLICING, "        resources:", "        training: true\n        resources:")
    assert sharing_of([policy()], [config_map(opened)]).training


def test_without_a_default_or_a_policy_nothing_is_shared() -> None:
    assert sharing_of([policy(default=None)], [config_map()]) == Sharing()
    assert (
        sharing_of([ClusterPolicy.model_validate({"metadata": {"name": "p"}, "spec": {}})], [config_map()]) == Sharing()
    )


@pytest.mark.parametrize("named", [policy("other"), policy(default="other")])
def test_a_configuration_that_is_not_there_means_the_stated_default(named: ClusterPolicy) -> None:
    found = sharing_of([named], [config_map()])
    assert (found.replicas, found.training) == (DEFAULT_REPLICAS, False)
    assert found.source.startswith("the default: ")


def test_of_two_policies_the_later_that_names_a_configuration_counts() -> None:
    assert sharing_of([policy("other"), policy(), SILENT], [config_map()]).source == "sharing in ConfigMap slicing"


@pytest.mark.skipif(not MISSION.is_dir(), reason="the mission's files are not here")
def test_the_article_s_policy_names_a_configuration_of_nvidia_s_own_form() -> None:
    _, document = load_file(MISSION / "gpu-policy.yaml")
    assert isinstance(document.spec, ClusterPolicy)
    text = TIME_SLICING.replace("name: slicing", "name: time-slicing-config")
    found = sharing_of([document.spec], [config_map(text.replace("  sharing: |-", "  inference-sharing: |-"))])
    assert found.source == "inference-sharing in ConfigMap time-slicing-config"
