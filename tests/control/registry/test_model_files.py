"""A directory that cannot be served is refused before anything is uploaded, with what is wrong in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from control.registry.model_directory import read_listing
from control.registry.model_files import refusals
from tests.fakes.model_directory import CONFIGURATION, TENSORS, safetensors, write_model

WEIGHTS, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
SHARD = "model-00001-of-00002.safetensors"


def faults(directory: Path, *, chat: bool = True) -> tuple[str, ...]:
    return refusals(read_listing(directory), chat=chat)


def configured(**changes: object) -> Callable[[Path], object]:
    return lambda at: (at / CONFIG).write_text(json.dumps({**CONFIGURATION, **changes}))


def weights(**shapes: list[int]) -> Callable[[Path], object]:
    found = {**TENSORS, **{name.replace("__", "."): shape for name, shape in shapes.items()}}
    return lambda at: (at / WEIGHTS).write_bytes(safetensors({name: s for name, s in found.items() if s}))


@pytest.mark.parametrize("shards", [0, 2])
def test_a_whole_model_is_taken(tmp_path: Path, shards: int) -> None:
    assert faults(write_model(tmp_path, shards=shards)) == ()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda at: (at / CONFIG).unlink(), "there is no config.json"),
        (lambda at: (at / CONFIG).write_text("{"), "config.json is not a JSON object"),
        (configured(architectures=[]), 'config.json names no "architectures"'),
        (lambda at: (at / "tokenizer.json").unlink(), "there is no tokenizer"),
        (lambda at: (at / WEIGHTS).unlink(), "there are no weights; expected model.safetensors"),
        (lambda at: (at / WEIGHTS).rename(at / "pytorch_model.bin"), "its weights are pytorch_model.bin; only"),
        (lambda at: (at / WEIGHTS).write_bytes(b"git-lfs pointer"), "is no safetensors file, or was cut short"),
        (lambda at: (at / WEIGHTS).write_bytes((at / WEIGHTS).read_bytes()[:-1]), "it was not copied whole"),
        (lambda at: (at / WEIGHTS).write_bytes(b"\x02" + b"\0" * 7 + b"[]"), "its header describes no tensors"),
        (lambda at: (at / WEIGHTS).write_bytes(safetensors({})), "hold no tensor"),
        (
            weights(model__embed_tokens__weight=[9, 4]),
            "model.embed_tokens.weight has shape [9, 4] where config.json says [10, 4] (vocab_size, hidden_size)",
        ),
        (configured(num_hidden_layers=5), "says 5 layers, and there are no weights of layer 2, 3, 4"),
        (configured(text_config={**CONFIGURATION, "hidden_size": 8}), "says [10, 8]"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(write_model(tmp_path))
    (found,) = faults(tmp_path)
    assert said in found


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda at: (at / SHARD).unlink(), f"names {SHARD}, which is missing"),
        (lambda at: (at / SHARD).write_bytes(safetensors({"other": [1]})), "which the files do not hold"),
        (lambda at: (at / INDEX).write_text("{}"), 'has no "weight_map" that names files'),
        (lambda at: (at / INDEX).write_text('{"weight_map": {"a": "../../etc/passwd"}}'), "which is missing"),
        (lambda at: (at / INDEX).write_text('{"weight_map": {"a": "config.json"}}'), "it is no safetensors file"),
    ],
)
def test_weights_are_complete_by_their_index(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(write_model(tmp_path, shards=2))
    (found,) = faults(tmp_path)
    assert said in found


def test_a_tensor_has_as_many_bytes_as_its_shape_says(tmp_path: Path) -> None:
    raw = (write_model(tmp_path) / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(raw.replace(b"[10, 4]", b"[10, 5]", 1))
    (found,) = faults(tmp_path)
    assert "model.embed_tokens.weight is F32 of shape [10, 5] but has 160 bytes" in found


def test_a_chat_template_is_there_or_it_is_said_that_none_is_needed(tmp_path: Path) -> None:
    write_model(tmp_path, chat=False)
    (found,) = faults(tmp_path)
    assert "give one with --chat-template FILE, or say --no-chat" in found
    assert faults(tmp_path, chat=False) == ()
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert faults(tmp_path) == ()


HEADED = {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 6}
"""Heads of two numbers: four for the queries, two for keys and for values."""
RIGHT = {
    "self_attn.q_proj": [4, 4],
    "self_attn.k_proj": [2, 4],
    "self_attn.o_proj": [4, 4],
    "mlp.up_proj": [6, 4],
    "mlp.down_proj": [4, 6],
}


@pytest.mark.parametrize(
    ("part", "shape"),
    [("self_attn.k_proj", [4, 4]), ("self_attn.o_proj", [4, 2]), ("mlp.up_proj", [4, 4]), ("mlp.down_proj", [6, 4])],
)
def test_each_matrix_of_a_plain_decoder_has_the_shape_that_its_configuration_makes(
    tmp_path: Path, part: str, shape: list[int]
) -> None:
    def written(parts: dict[str, list[int]]) -> tuple[str, ...]:
        layers = {f"model.layers.{at}.{name}.weight": one for at in range(2) for name, one in parts.items()}
        outside = {name: one for name, one in TENSORS.items() if ".layers." not in name}
        (tmp_path / WEIGHTS).write_bytes(safetensors({**outside, **layers}))
        return faults(tmp_path)

    write_model(tmp_path)
    configured(**HEADED)(tmp_path)
    assert written(RIGHT) == ()
    (found,) = written({**RIGHT, part: shape})
    assert found == f"model.layers.0.{part}.weight has shape {shape} where config.json makes it {RIGHT[part]}"
    configured(**HEADED, architectures=["OddForCausalLM"])(tmp_path)
    assert faults(tmp_path) == (), "other families shape their layers in ways of their own"


def test_shapes_of_quantized_weights_are_left_to_the_engine(tmp_path: Path) -> None:
    write_model(tmp_path)
    configured(vocab_size=99, quantization_config={"bits": 4})(tmp_path)
    assert faults(tmp_path) == ()


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    write_model(tmp_path, chat=False)
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / "tokenizer.json").unlink()
    assert len(faults(tmp_path)) == 3


def test_pickles_hidden_files_and_stray_weights_are_left_out(tmp_path: Path) -> None:
    write_model(tmp_path, shards=2)
    for name in ("pytorch_model.bin", "consolidated.safetensors", ".gitattributes"):
        (tmp_path / name).write_bytes(b"x" * 9)
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "notes.txt").write_text("kept")
    kept = set(read_listing(tmp_path).kept)
    assert kept == {
        *(CONFIG, INDEX, "tokenizer.json", "tokenizer_config.json", "extra/notes.txt"),
        *(SHARD, "model-00002-of-00002.safetensors"),
    }
