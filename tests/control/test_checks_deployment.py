"""What is said of a deployment before anything is loaded: its memory, its adapters, a roll-out that goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control.checks import Surroundings, check_documents
from control.kernel.store import Object
from control.registry.lineage import spec_of
from control.registry.state import Registration
from control.router.rollout_json import to_json
from control.router.rollout_state import Release, Stage, State
from control.scheduler.state import Node, Sharing
from control.specs.deployment import Deployment
from control.specs.footprint import ModelFacts
from control.specs.load import load_text
from control.specs.problem import SpecError
from tests.control.scheduler.world import node

GIB = 1 << 30
CHAT = """\
apiVersion: biplane/v1
kind: Deployment
metadata:
  name: chat
spec:
  model: chat
  version: 3
"""
FACTS = ModelFacts(weights=60 * GIB, cache_per_token=1 << 18, width=2, context=8192, hidden=4096)
"""One sequence of full length takes 2 GiB."""


def version(name: str = "chat@3", facts: ModelFacts | None = FACTS, **tags: str) -> Object:
    model, _, number = name.partition("@")
    known = {f"biplane.{tag.replace('_', '-')}": value for tag, value in tags.items()}
    found = Registration(model, int(number), "r", "s", {**(facts.tags if facts else {}), **known})
    return Object("ModelVersion", name, "u", 1, 1, spec_of(found, None), {}, 0.0, 0.0)


def adapter(name: str = "law@1", **tags: str) -> Object:
    return version(name, None, **{"kind": "adapter", "rank": "8", **tags})


def deployed(text: str = CHAT, **status: Any) -> Object:
    (document,) = load_text(text, "before.yaml")
    spec = document.spec.model_dump(mode="json")
    return Object("Deployment", document.name, "u", 1, 1, spec, status, 0.0, 0.0)


def devices(count: int = 1, memory: int = 40, name: str = "n0", model: str = "H100") -> Node:
    one = node(name, count)
    return replace(one, gpu_model=model, devices=tuple(replace(d, memory=memory * GIB) for d in one.devices))


def said(
    text: str, *stored: Object, nodes: tuple[Node, ...] = (), force: bool = False, started: bool = True
) -> list[str]:
    """What is wrong, or else what is to be known."""
    written = load_text(text, "f.yaml")
    around = Surroundings.of(written, stored, started=started, force=force)
    around = replace(around, nodes=nodes, rules=replace(around.rules, sharing=Sharing(4)))
    try:
        return [str(one) for one in check_documents(written, around) if "nothing says whether" not in str(one)]
    except SpecError as error:
        return [str(one) for one in error.problems]


def test_a_model_whose_first_sequence_fits_on_no_device_is_refused_with_what_would_fit() -> None:
    (found,) = said(CHAT, version(), nodes=(devices(4), devices(2, 24, "n1")))
    assert found == (
        "f.yaml:6: spec.model: chat@3 needs 63.0 GiB on a device for its weights of 60.0 GiB and one sequence of 8192 "
        "tokens; the largest that it may get has 36.8 GiB for it, of 40.0 GiB; expected devices: 2 or devices with "
        "68.5 GiB or more"
    )


def test_a_length_that_would_fit_is_offered_where_the_weights_do() -> None:
    text = CHAT + "  engine: {max_model_len: 131072, tensor_parallel_size: 1}\n"
    (found,) = said(text, version(), nodes=(devices(2, 80),))
    assert found.startswith("f.yaml:8: spec.engine.max_model_len: chat@3 needs 93.0 GiB on a device")
    assert "expected max_model_len of at most 51609 or devices: 2 (and tensor_parallel_size) or devices with" in found
    fitting = text.replace("131072", "51609") + "  share: 0.5\n  device_memory: 80Gi\n"
    assert "needs" not in str(said(fitting, version(), nodes=(devices(2, 80),)))


def test_requests_that_wait_because_the_cache_is_full_are_a_warning() -> None:
    (found,) = said(CHAT + "  engine: {max_num_seqs: 16}\n", version(), nodes=(devices(1, 80),))
    assert found == (
        "f.yaml:8: spec.engine.max_num_seqs: of the 16 requests that it takes at once 6 fit at their full length of "
        "8192 tokens on a device of 80.0 GiB: 93.0 GiB would be needed; others wait"
    )
    assert said(CHAT + "  engine: {max_num_seqs: 6}\n", version(), nodes=(devices(1, 80),)) == []


def test_devices_that_are_too_small_beside_others_are_a_warning_with_how_to_keep_off_them() -> None:
    text = CHAT + "  engine: {max_num_seqs: 1}\n"
    (found,) = said(text, version(), nodes=(devices(1, 80), devices(1, 24, "n1")))
    assert "those with 24.0 GiB are too small for it; expected device_memory: 80Gi, which keeps it off them" in found
    kept = text + "  device_memory: 80Gi\n"
    assert said(kept, version(), nodes=(devices(1, 80), devices(1, 24, "n1"))) == []


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (CHAT + "  gpu_models: [H100]\n", False),
        (CHAT + "  gpu_models: [H200]\n", True),
        (CHAT + "  share: 0.5\n  device_memory: 30Gi\n", False),
        (CHAT + "  share: 0.5\n  device_memory: 70Gi\n", True),
        (CHAT + "  devices: 2\n", True),
        (CHAT + "  devices: 2\n  engine: {tensor_parallel_size: 1, pipeline_parallel_size: 2}\n", True),
        (CHAT + "  engine: {quantization: fp8}\n", True),
        (CHAT + "  devices: 0\n", True),
    ],
)
def test_only_devices_that_it_may_get_and_what_is_known_of_its_engine_count(text: str, fits: bool) -> None:
    nodes = (devices(2, 40), devices(1, 141, "n1", "H200"))
    assert (" needs 63.0 GiB on a device" in str(said(text, version(), nodes=nodes))) is not fits


def test_a_slice_has_the_memory_of_its_profile() -> None:
    node = replace(devices(1, 80, model="NVIDIA H100 80GB HBM3"), carve=True)
    (found,) = said(CHAT + "  slice: 3g.40gb\n", version(), nodes=(node,))
    assert "has 35.4 GiB for it, of 38.5 GiB; expected devices with 68.5 GiB or more" in found


def test_of_what_nobody_told_nothing_is_said() -> None:
    assert said(CHAT, version(facts=None), nodes=(devices(),)) == []
    assert said(CHAT, version(), nodes=(devices(1, 0),)) == []
    assert said(CHAT, version()) == []
    assert said(CHAT, nodes=(devices(),)) == []


def test_the_latest_is_measured_by_the_newest_that_may_be_deployed() -> None:
    small = replace(FACTS, weights=GIB)
    latest, engine = CHAT.replace("version: 3", "version: latest"), "  engine: {max_num_seqs: 1}\n"
    barred = version("chat@4", gate="failed: bad")
    barred = replace(barred, status={"refuses": {"production": "it failed"}})
    assert said(latest + engine, version(facts=small), barred, nodes=(devices(),)) == []
    assert "chat@4 needs" in str(said(latest, version(facts=small), version("chat@4"), nodes=(devices(),)))


def test_an_arm_of_a_test_that_does_not_fit_is_refused_too() -> None:
    arms = "  rollout: {strategy: ab, arms: [{name: a, version: 3, percent: 50}, {name: b, version: 4, percent: 50}]}\n"
    small = replace(FACTS, weights=GIB)
    assert "chat@4 needs" in str(said(CHAT + arms, version(facts=small), version("chat@4"), nodes=(devices(),)))


def test_a_model_without_a_chat_template_completes_and_refuses_to_chat() -> None:
    (found,) = said(CHAT, version(facts=None, chat="no"))
    assert found == "f.yaml:6: spec.model: chat@3 has no chat template: it completes, and refuses to chat"
    assert said(CHAT, version(facts=None)) == []


def test_replicas_that_autoscaling_may_ask_for_and_never_get_are_a_warning() -> None:
    assert said(CHAT + "  autoscaling: {min: 0, max: 4}\n", nodes=(devices(4),)) == []
    (found,) = said(CHAT + "  autoscaling: {max: 5}\n", nodes=(devices(4),))
    assert found.startswith("f.yaml:8: spec.autoscaling.max: 5 device(s) and 0 GiB of memory can never be had")
    (found,) = said(CHAT + "  autoscaling: {min: 5, max: 9}\n", nodes=(devices(4),))
    assert "5 device(s) and 0 GiB of memory can never be had" in found
    (found,) = said(CHAT + "  replicas: 4\n  sla: {spares: 1}\n", nodes=(devices(4),))
    assert found.startswith("f.yaml:9: spec.sla.spares: 5 device(s) and 0 GiB of memory can never be had")


ADAPTED = CHAT + "  adapters: [{name: law, model: law, version: 1}]\n"


def test_an_adapter_that_fits_passes_without_a_word() -> None:
    assert (
        said(ADAPTED, version(base_model="org/Llama-8B"), adapter(base_model="org/llama-8b", hidden_size="4096")) == []
    )
    assert said(ADAPTED, version(), adapter(base_model="/models/elsewhere")) == []
    assert said(ADAPTED, started=False) == [], "without a plane nothing is known of any version"


@pytest.mark.parametrize(
    ("text", "stored", "why"),
    [
        (
            CHAT.replace("model: chat", "model: law").replace("version: 3", "version: 1"),
            (adapter(base_model="org/llama"),),
            (
                "f.yaml:7: spec.version: law@1 is a LoRA adapter of org/llama, not a model by itself; expected its "
                "base as the model, with adapters: [{name: law, model: law}]"
            ),
        ),
        (
            ADAPTED,
            (version(), version("law@1")),
            (
                "f.yaml:8: spec.adapters[law].version: law@1 is a whole model; expected a LoRA adapter, or a "
                "deployment of its own for it"
            ),
        ),
        (
            ADAPTED.replace("model: law", "model: lew"),
            (version(), adapter()),
            "f.yaml:8: spec.adapters[law].model: there is no model 'lew'; did you mean 'law'?",
        ),
        (
            ADAPTED.replace("version: 1", "version: 7"),
            (version(), adapter()),
            "f.yaml:8: spec.adapters[law].version: there is no version 7 of model 'law'; expected one of 1",
        ),
        (
            ADAPTED.replace("name: law", "name: chat"),
            (version(), adapter()),
            (
                "f.yaml:8: spec.adapters[chat].name: 'chat' is the deployment's own name already; expected a name of "
                "its own"
            ),
        ),
        (
            ADAPTED,
            (version(), adapter(), deployed(CHAT.replace("name: chat", "name: law"))),
            "f.yaml:8: spec.adapters[law].name: 'law' is deployment law already; expected a name of its own",
        ),
        (
            ADAPTED,
            (version(), adapter(), deployed(ADAPTED.replace("name: chat", "name: other"))),
            (
                "f.yaml:8: spec.adapters[law].name: 'law' is an adapter of deployment other already; expected a name "
                "of its own"
            ),
        ),
        (
            CHAT.replace("name: chat", "name: law"),
            (version(), adapter(), deployed(ADAPTED)),
            "f.yaml:4: metadata.name: 'law' is an adapter of deployment chat already; expected a name of its own",
        ),
        (
            ADAPTED + "  engine: {max_lora_rank: 8}\n",
            (version(), adapter(rank="64")),
            (
                "f.yaml:8: spec.adapters[law].version: law@1 has rank 64, and max_lora_rank is 8 (spec.engine on line "
                "9); expected max_lora_rank of 64 or more"
            ),
        ),
        (
            ADAPTED + "  engine: {enable_lora: false}\n",
            (version(), adapter()),
            (
                "f.yaml:9: spec.engine.enable_lora: adapters are served with enable_lora; expected true, or no such "
                "setting"
            ),
        ),
        (
            ADAPTED,
            (version(), adapter(hidden_size="8192", base_model="org/llama-70b")),
            (
                "f.yaml:8: spec.adapters[law].model: law@1 is for layers of 8192 numbers (org/llama-70b), those of "
                "chat@3 have 4096; expected an adapter that was trained on chat"
            ),
        ),
        (
            ADAPTED,
            (version(), adapter(gate="failed: rude")),
            (
                "f.yaml:8: spec.adapters[law].version: law@1 failed its evaluation gate (rude); expected a version "
                "that may be deployed"
            ),
        ),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_with_the_nearest_choice(
    text: str, stored: tuple[Object, ...], why: str
) -> None:
    assert said(text, *stored) == [why]


def test_an_adapter_of_another_base_is_a_warning() -> None:
    (found,) = said(ADAPTED, version(base_model="org/llama-8b"), adapter(base_model="org/qwen"))
    assert found == (
        "f.yaml:8: spec.adapters[law].model: law@1 was made for org/qwen; the deployment's model chat comes from "
        "org/llama-8b; expected an adapter of the same base, where the two are not one"
    )


def rolling(text: str = CHAT, stage: Stage = Stage.STEPPING, engine: dict[str, Any] | None = None) -> Object:
    """A roll-out of `chat` from version 2, made with `engine`, to version 3."""
    (document,) = load_text(text, "before.yaml")
    assert isinstance(document.spec, Deployment)
    workload = document.spec.spec.workload.model_dump(mode="json", exclude_defaults=True)
    state = State(stage=stage, stable=Release(2, "aa"), target=Release(3, "bb"), percent=5.0)
    build = {"version": 2, "settings": "aa", "model": "chat", "engine": engine or {}, "workload": workload}
    return deployed(text, rollout=to_json(state), builds=[build])


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        (CHAT.replace("version: 3", "version: 4"), "f.yaml:7: spec.version: "),
        (CHAT + "  engine: {max_num_seqs: 8}\n", "f.yaml:5: spec: "),
        (CHAT + "  devices: 2\n", "f.yaml:5: spec: "),
    ],
)
def test_a_second_roll_out_is_refused_while_one_goes_on_unless_it_is_forced(changed: str, place: str) -> None:
    assert said(changed, rolling()) == [
        f"{place}a roll-out from version 2 to version 3 goes on (5 % of the traffic so far); expected to wait for its "
        "end, to end it with: biplane rollout abort chat, or --force to let this take its place"
    ]
    assert said(changed, rolling(), force=True) == []


@pytest.mark.parametrize(
    "changed",
    [
        CHAT,
        CHAT.replace("version: 3", "version: 2"),
        CHAT + "  replicas: 4\n",
        CHAT + "  priority_class: training\n",
        CHAT + "  rollout: {strategy: canary, hold: 5m}\n",
    ],
)
def test_going_back_and_what_changes_in_place_is_no_second_roll_out(changed: str) -> None:
    assert said(changed, rolling()) == []


def test_back_is_only_what_the_stable_version_was_made_with() -> None:
    back = CHAT.replace("version: 3", "version: 2")
    stored = rolling(CHAT + "  engine: {max_num_seqs: 8}\n", engine={"max_num_seqs": 8})
    assert len(said(back, stored)) == 1
    assert said(back + "  engine: {max_num_seqs: 8}\n", stored) == []


@pytest.mark.parametrize("stage", [Stage.STEADY, Stage.PREPARING])
def test_what_no_user_has_met_yet_is_changed_freely(stage: Stage) -> None:
    assert said(CHAT.replace("version: 3", "version: 4"), rolling(stage=stage)) == []


def test_latest_is_no_change_where_it_is_what_comes_already() -> None:
    latest = CHAT.replace("version: 3", "version: latest")
    assert said(latest, rolling(), version(facts=None)) == []
    assert len(said(latest, rolling(), version(facts=None), version("chat@4", None))) == 1


def test_what_an_older_plane_wrote_and_nobody_can_read_does_not_stand_in_the_way() -> None:
    old = replace(rolling(), spec={"spec": {"model": "chat", "what": "is this"}})
    assert said(CHAT.replace("version: 3", "version: 4"), old) == []
