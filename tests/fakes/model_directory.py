"""Hugging Face directories of a few hundred bytes, right ones and wrong ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

VOCABULARY, HIDDEN, LAYERS = 10, 4, 2
TENSORS: dict[str, list[int]] = {
    "model.embed_tokens.weight": [VOCABULARY, HIDDEN],
    **{f"model.layers.{layer}.mlp.up_proj.weight": [HIDDEN, HIDDEN] for layer in range(LAYERS)},
    "lm_head.weight": [VOCABULARY, HIDDEN],
}
CONFIGURATION: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
}
ADAPTER: dict[str, Any] = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "org/base"}
ADAPTED: dict[str, list[int]] = {
    f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{part}.weight": shape
    for layer in range(LAYERS)
    for part, shape in (("A", [2, HIDDEN]), ("B", [HIDDEN, 2]))
}


def safetensors(shapes: dict[str, list[int]], fill: bytes = b"\0") -> bytes:
    """A file of float32 tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + fill * end


def write_model(directory: Path, *, fill: bytes = b"\0", shards: int = 0, chat: bool = True) -> Path:
    """A small model that is whole; with `shards` its tensors are dealt to so many files."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIGURATION))
    (directory / "tokenizer.json").write_text("{}")
    template = {"chat_template": "{{ messages }}"} if chat else {}
    (directory / "tokenizer_config.json").write_text(json.dumps(template))
    if not shards:
        (directory / "model.safetensors").write_bytes(safetensors(TENSORS, fill))
        return directory
    dealt: dict[str, dict[str, list[int]]] = {}
    for at, (name, shape) in enumerate(TENSORS.items()):
        dealt.setdefault(f"model-{at % shards + 1:05}-of-{shards:05}.safetensors", {})[name] = shape
    for file, shapes in dealt.items():
        (directory / file).write_bytes(safetensors(shapes, fill))
    places = {name: file for file, shapes in dealt.items() for name in shapes}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return directory


def write_adapter(directory: Path) -> Path:
    """A small LoRA adapter of it, as PEFT saves one."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (directory / "adapter_model.safetensors").write_bytes(safetensors(ADAPTED))
    (directory / "README.md").write_text("trained on secrets")
    return directory


def write_embedder(directory: Path) -> Path:
    """The same model as sentence-transformers saves it: it pools, and ends in a layer of its own."""
    write_model(directory, chat=False)
    modules = ["", "1_Pooling", "2_Dense"]
    for path in modules[1:]:
        (directory / path).mkdir()
        (directory / path / "config.json").write_text("{}")
    (directory / "2_Dense" / "model.safetensors").write_bytes(safetensors({"linear.weight": [2, HIDDEN]}))
    types = ["Transformer", "Pooling", "Dense"]
    listed = [{"path": p, "type": f"sentence_transformers.models.{t}"} for p, t in zip(modules, types, strict=True)]
    (directory / "modules.json").write_text(json.dumps(listed))
    return directory
