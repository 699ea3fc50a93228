"""Directories that hold no whole model: adapters, and models whose answers are vectors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from control.registry.adapter_files import adapter_refusals
from control.registry.model_directory import read_listing
from control.registry.model_files import refusals
from control.registry.nature import Nature, tags_of
from control.specs.footprint import ModelFacts
from tests.fakes.model_directory import (
    ADAPTED,
    ADAPTER,
    HIDDEN,
    TENSORS,
    safetensors,
    write_adapter,
    write_embedder,
    write_model,
)

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LAYER = next(name for name in ADAPTED if "lora_A" in name)


def configured(**changes: object) -> Callable[[Path], object]:
    return lambda at: (at / CONFIG).write_text(json.dumps({**ADAPTER, **changes}))


def weights(**shapes: list[int]) -> Callable[[Path], object]:
    """The adapter's matrices, those of one layer as given: none where a shape is empty."""
    parts = {LAYER.replace("lora_A", f"lora_{part}"): shape for part, shape in shapes.items()}
    return lambda at: (at / WEIGHTS).write_bytes(safetensors({n: s for n, s in {**ADAPTED, **parts}.items() if s}))


def test_a_whole_adapter_is_taken_with_its_rank_its_base_and_what_it_is_made_for(tmp_path: Path) -> None:
    listing = read_listing(write_adapter(tmp_path))
    assert adapter_refusals(listing) == ()
    assert Nature.read(tags_of(listing)) == Nature(adapter=True, rank=2, hidden=HIDDEN, base="org/base")
    assert set(listing.kept) == {CONFIG, WEIGHTS, "README.md"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda at: (at / CONFIG).write_text("["), "adapter_config.json is not a JSON object"),
        (configured(peft_type="IA3"), "says peft_type 'IA3'; only LORA is served"),
        (configured(use_dora=True), "it uses DoRA"),
        (configured(modules_to_save=["lm_head"]), "it replaces whole layers (modules_to_save)"),
        (configured(bias="all"), "it changes biases (bias: all)"),
        (lambda at: (at / WEIGHTS).unlink(), "there are no weights; expected adapter_model.safetensors"),
        (lambda at: (at / WEIGHTS).rename(at / "adapter_model.bin"), "its weights are adapter_model.bin; only"),
        (lambda at: (at / WEIGHTS).write_bytes((at / WEIGHTS).read_bytes()[:-1]), "it was not copied whole"),
        (lambda at: (at / WEIGHTS).write_bytes(safetensors({"other": [1]})), "holds no LoRA matrix"),
        (weights(B=[]), "has no lora_B"),
        (weights(A=[3, HIDDEN]), f"has the shapes [3, {HIDDEN}] and [{HIDDEN}, 2] where adapter_config.json says r 2"),
        (configured(r=4), "says r 4"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(write_adapter(tmp_path))
    (found,) = adapter_refusals(read_listing(tmp_path))
    assert said in found


@pytest.mark.parametrize("rank", [0, 513, "8", None, True])
def test_a_rank_that_no_engine_serves_is_refused(tmp_path: Path, rank: object) -> None:
    configured(r=rank, rank_pattern={"q_proj": 2})(write_adapter(tmp_path))
    (found,) = adapter_refusals(read_listing(tmp_path))
    assert found == f"adapter_config.json says r {rank!r}; expected a rank of 1 to 512"


def test_layers_may_have_ranks_of_their_own(tmp_path: Path) -> None:
    write_adapter(tmp_path)
    weights(A=[8, HIDDEN], B=[HIDDEN, 8])(tmp_path)
    configured(rank_pattern={"q_proj": 8})(tmp_path)
    listing = read_listing(tmp_path)
    assert adapter_refusals(listing) == ()
    assert Nature.read(tags_of(listing)).rank == 8


def test_a_model_that_holds_an_adapter_beside_its_weights_is_a_model(tmp_path: Path) -> None:
    (write_model(tmp_path) / CONFIG).write_text("{}")
    listing = read_listing(tmp_path)
    assert refusals(listing, chat=True) == ()
    assert not Nature.read(tags_of(listing)).adapter


def test_a_model_that_embeds_needs_no_chat_template_and_keeps_its_modules(tmp_path: Path) -> None:
    listing = read_listing(write_embedder(tmp_path))
    assert refusals(listing, chat=True) == ()
    nature = Nature.read(tags_of(listing))
    assert (nature.embeds, nature.chat, nature.adapter) == (True, True, False)
    assert {"1_Pooling/config.json", "2_Dense/model.safetensors", "modules.json"} <= set(listing.kept)


@pytest.mark.parametrize(
    ("architecture", "embeds"),
    [("BertModel", True), ("XLMRobertaModel", True), ("LlamaForCausalLM", False), ("GPT2LMHeadModel", False)],
)
def test_an_architecture_without_a_head_embeds(tmp_path: Path, architecture: str, embeds: bool) -> None:
    config = json.loads((write_model(tmp_path) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}))
    assert Nature.read(tags_of(read_listing(tmp_path))).embeds is embeds


def test_what_a_model_takes_and_whether_it_chats_are_told_by_its_tags(tmp_path: Path) -> None:
    listing = read_listing(write_model(tmp_path, shards=2, chat=False))
    tags = tags_of(listing)
    assert not Nature.read(tags).chat
    assert Nature.read(tags).hidden == HIDDEN


@pytest.mark.parametrize(("dtype", "bytes_each"), [("float32", 4), ("bfloat16", 2)])
def test_weights_count_as_the_configuration_says_however_wide_they_are_kept(
    tmp_path: Path, dtype: str, bytes_each: int
) -> None:
    config = json.loads((write_model(tmp_path, shards=2) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "torch_dtype": dtype}))
    facts = ModelFacts.read(tags_of(read_listing(tmp_path)))
    assert facts is not None
    assert facts.weights == bytes_each * sum(math.prod(shape) for shape in TENSORS.values())


def test_a_version_without_such_tags_is_taken_for_a_model_that_chats() -> None:
    assert Nature.read({"accuracy": "0.9"}) == Nature()
