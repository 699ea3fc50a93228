"""The audit lists every leaf of a file once and says which of them act."""

from __future__ import annotations

from control.specs.audit import audit
from control.specs.load import load_text
from tests.control.specs.samples import (
    CLUSTER,
    CLUSTER_POLICY,
    CONFIG_MAP,
    DEPLOYMENT,
    GATEWAY,
    INFERENCE,
    QUEUE,
    TIME_SLICING,
    WORKFLOW,
)


def test_a_field_below_a_waiting_one_waits_too() -> None:
    (document,) = load_text(TIME_SLICING, "f.yaml")
    uses = {use.path: use for use in audit(document)}
    assert uses["data.sharing.version"].acted
    assert uses["data.sharing.flags.migStrategy"].waits_for == "operation"


def test_what_no_step_can_use_waits_with_a_note() -> None:
    (document,) = load_text(WORKFLOW, "f.yaml")
    (use,) = [use for use in audit(document) if use.path.endswith("image")]
    assert (use.line, use.value, use.acted, use.waits_for) == (35, "worker:v1", False, "operation")
    assert use.note == "steps run in the plane's own environment"


def test_embedded_yaml_is_listed_leaf_by_leaf() -> None:
    (document,) = load_text(CONFIG_MAP, "f.yaml")
    paths = [use.path for use in audit(document)]
    assert 'data.mig-config.mig-configs.mixed[0].mig-devices["3g.40gb"]' in paths
    assert "data.mig-config" not in paths


def test_fields_that_take_anything_are_listed_too() -> None:
    (document,) = load_text(DEPLOYMENT, "f.yaml")
    uses = [use for use in audit(document) if use.path.startswith("spec.engine")]
    assert [(use.path, use.value) for use in uses] == [
        ("spec.engine.max_model_len", 256),
        ("spec.engine.flags[0]", True),
        ("spec.engine.flags[1]", None),
        ("spec.engine.flags[2]", 0.5),
    ]
    assert all(use.acted for use in uses)


def test_what_only_a_device_plugin_would_do_waits_and_time_slicing_acts() -> None:
    (document,) = load_text(TIME_SLICING, "f.yaml")
    acted = {use.path.rpartition(".")[2]: use.acted for use in audit(document)}
    assert acted == {
        **dict.fromkeys(("apiVersion", "kind", "name", "version", "replicas"), True),
        **dict.fromkeys(("migStrategy", "renameByDefault", "failRequestsGreaterThanOne"), False),
    }


def test_layouts_sharing_preemption_and_gateways_are_acted_on() -> None:
    for text in (CONFIG_MAP, CLUSTER_POLICY, CLUSTER, INFERENCE, QUEUE, GATEWAY):
        (document,) = load_text(text, "f.yaml")
        assert [use.path for use in audit(document) if not use.acted] == []
