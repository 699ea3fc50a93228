"""MIG layouts that people declare: read as the scheduler needs them, and refused where they cannot be had."""

from __future__ import annotations

import pytest

from control.scheduler.layout import Site, cluster_faults, layout_faults, layouts_of, sites_of
from control.scheduler.mig import GEOMETRIES
from control.scheduler.state import Device, Node
from control.specs.cluster import Cluster
from control.specs.document import Document
from control.specs.gpu_policy import ConfigMap
from control.specs.load import load_file, load_text
from control.specs.mig_profile import USUAL
from tests.control.specs.samples import CLUSTER, CONFIG_MAP, MISSION, broken

GIB = 1 << 30
SLICES = '            "3g.40gb": 1\n            "1g.10gb": 2\n'


def config_map(*slices: str) -> Document:
    """The sample with these counts of profiles on device 0, such as `4g.40gb: 2`."""
    written = "".join(f'            "{profile}": {count}\n' for profile, count in (one.split(": ") for one in slices))
    (document,) = load_text(broken(CONFIG_MAP, SLICES, written) if slices else CONFIG_MAP, "f.yaml")
    return document


def told(document: Document, *sites: Site) -> list[str]:
    assert isinstance(document.spec, ConfigMap)
    return [str(problem) for problem in document.problems(list(layout_faults(document.spec, sites)))]


def site(model: str = "H100-80GB", memory: int = 80, devices: int = 8, layout: str = "mixed") -> Site:
    return Site("n0", layout, model, memory * GIB, devices)


def test_layouts_are_counts_by_device() -> None:
    spec = config_map().spec
    assert isinstance(spec, ConfigMap)
    assert layouts_of([spec]) == {"mixed": {0: {"3g.40gb": 1, "1g.10gb": 2}, 1: {}, 2: {}}}
    every = config_map("1g.10gb: 7").spec.model_dump(mode="json")
    every["data"]["mig-config"]["mig-configs"]["mixed"] = [
        {"devices": "all", "mig-enabled": True, "mig-devices": {"1g.10gb": 7}}
    ]
    assert layouts_of([ConfigMap.model_validate(every)]) == {"mixed": {-1: {"1g.10gb": 7}}}


def test_the_sites_are_the_nodes_with_a_label_declared_or_known() -> None:
    labelled = broken(CLUSTER, "gpus: 4", "gpus: 4\n      labels: {nvidia.com/mig.config: mixed}")
    (document,) = load_text(labelled, "f.yaml")
    assert isinstance(document.spec, Cluster)
    devices = (Device("GPU-0", 79 * GIB), Device("GPU-1", 0))
    known = Node("real", "id", "GPU", "H100", "nvswitch", devices, 0, simulated=False, layout="halves")
    plain = Node("plain", "id", "GPU", "H100", "nvswitch", devices, 0, simulated=False)
    assert sites_of([known, plain], [document.spec]) == (
        Site("one", "mixed", "A100", 80 * 10**9, 4),
        Site("real", "halves", "H100", 79 * GIB, 2),
    )


@pytest.mark.skipif(not MISSION.is_dir(), reason="the mission's files are not here")
def test_the_article_s_layout_can_be_had_on_the_device_that_it_is_for_and_on_no_smaller_one() -> None:
    document, _ = load_file(MISSION / "gpu-policy.yaml")
    assert told(document) == []
    assert told(document, site("A100-SXM4-80GB", layout="a100-mixed-workload")) == []
    (problem,) = told(document, site("A100-SXM4-40GB", 40, layout="a100-mixed-workload"))
    assert "n0 has A100-SXM4-40GB, which has no 3g.40gb" in problem


@pytest.mark.parametrize(
    "slices",
    [("4g.40gb: 1", "3g.40gb: 1"), ("3g.40gb: 2",), ("1g.10gb: 7",), ("3g.40gb: 1", "2g.20gb: 2"), ("2g.20gb: 3",)],
)
def test_what_has_places_is_legal(slices: tuple[str, ...]) -> None:
    assert told(config_map(*slices), site()) == []
    assert told(config_map(*slices)) == []


@pytest.mark.parametrize(
    ("slices", "guilty", "instead"),
    [
        (("4g.40gb: 2",), "4g.40gb number 2", "1 × 4g.40gb, 1 × 3g.40gb"),
        (("2g.20gb: 4",), "2g.20gb number 4", "3 × 2g.20gb, 1 × 1g.20gb"),
        (("7g.80gb: 1", "1g.10gb: 1"), "1g.10gb number 1", "1 × 7g.80gb"),
        (("3g.40gb: 2", "1g.10gb: 1"), "1g.10gb number 1", "2 × 3g.40gb"),
        (("1g.10gb: 8",), "1g.10gb number 8", "7 × 1g.10gb"),
        (("1g.10gb: 4", "4g.40gb: 1"), "1g.10gb number 4", "1 × 4g.40gb, 3 × 1g.10gb"),
    ],
)
def test_slices_that_collide_are_named_with_what_could_be_had_instead(
    slices: tuple[str, ...], guilty: str, instead: str
) -> None:
    found = (
        f"f.yaml:12: data.mig-config.mig-configs.mixed[0].mig-devices: no place is left for {guilty}: every start of"
    )
    expected = f"expected a layout such as {instead}"
    (here,), (anywhere,) = told(config_map(*slices), site()), told(config_map(*slices))
    assert here.startswith(found)
    assert here.endswith(f" on the H100-80GB of n0; {expected}")
    assert anywhere.startswith(found)
    assert anywhere.endswith(f"; {expected}")


def test_a_profile_that_the_node_or_no_node_has_is_told_with_the_nearest() -> None:
    (problem,) = told(config_map("3g.48gb: 1"), site())
    assert problem.endswith("n0 has H100-80GB, which has no 3g.48gb; did you mean '3g.40gb'?")
    (problem,) = told(config_map("3g.41gb: 1"))
    assert problem == (
        'f.yaml:13: data.mig-config.mig-configs.mixed[0].mig-devices["3g.41gb"]: no device that is known here has a'
        " profile '3g.41gb'; did you mean '3g.40gb'?"
    )


def test_profiles_of_different_kinds_of_devices_are_refused() -> None:
    (problem,) = told(config_map("1g.6gb: 1", "3g.71gb: 1"))
    assert problem.endswith("no device that is known here has all of these profiles; expected those of one kind")


def test_a_device_that_the_node_does_not_have_or_cannot_cut_is_refused() -> None:
    assert told(config_map(), site(devices=2)) == [
        "f.yaml:15: data.mig-config.mig-configs.mixed[1].devices[1]: n0 has 2 devices, none with the index 2; expected"
        " an index below 2"
    ]
    (problem,) = told(config_map(), site("V100", 32))
    assert problem == (
        "f.yaml:11: data.mig-config.mig-configs.mixed[0].mig-enabled: n0 has V100, which cannot be cut into slices;"
        " expected mig-enabled: false there"
    )


def cluster(label: str, model: str = "H100-80GB", count: int = 1) -> list[str]:
    """What is said of a cluster whose second kind of node has this label."""
    fields = f"count: {count}, simulated: true, gpus: 4, gpu_model: {model}, gpu_memory: 80Gi, interconnect: pcie"
    more = f"    - {{name: two, {fields}, memory: 1Gi, labels: {{{label}}}}}\n"
    (document,) = load_text(broken(CLUSTER, "  nodes:\n", "  nodes:\n" + more), "f.yaml")
    spec = config_map().spec
    assert isinstance(document.spec, Cluster)
    assert isinstance(spec, ConfigMap)
    return [str(one) for one in document.problems(list(cluster_faults(document.spec, document.raw, [spec])))]


def test_a_label_must_name_a_layout_that_some_config_map_has() -> None:
    assert cluster("nvidia.com/mig.config: mixed", count=3) == []
    assert cluster("nvidia.com/mig.config: mxed", count=3) == [
        "f.yaml:7: spec.nodes[two].labels[\"nvidia.com/mig.config\"]: no ConfigMap has a layout 'mxed'; did you mean"
        " 'mixed'?"
    ]


def test_a_label_must_fit_the_devices_of_its_node() -> None:
    (problem,) = cluster("nvidia.com/mig.config: mixed", "V100")
    assert '.labels["nvidia.com/mig.config"]: two has V100, which cannot be cut into slices' in problem
    (problem,) = cluster("biplane.io/mig: dynamic", "V100")
    assert '.labels["biplane.io/mig"]: two has V100, which cannot be cut into slices' in problem
    assert cluster("biplane.io/mig: dynamic") == []


def test_the_profiles_that_are_suggested_to_a_person_are_known_to_the_scheduler() -> None:
    known = {profile for geometry in GEOMETRIES for profile in geometry.profiles}
    assert known >= set(USUAL)
