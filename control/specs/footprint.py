"""How much device memory a language model takes: its weights, and the keys and values of its requests. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "half": 2, "float": 4}
FP8 = "fp8"
MARGIN = 1 << 30
"""What an engine needs beside weights and cache (activations, graphs, the CUDA context), in bytes a device."""
USUAL_SEQUENCES = 256
"""`max_num_seqs` where nobody says it, as in vLLM on a large device."""
UTILIZATION = 0.92
"""What vLLM takes of a device's memory unless it is told."""
UNTOLD = frozenset({"quantization", "cpu_offload_gb", "kv_cache_memory_bytes", "num_gpu_blocks_override"})
"""Settings under which what a model takes cannot be told from its files."""
TAGS: Mapping[str, str] = {
    "weights": "biplane.weights-bytes",
    "cache_per_token": "biplane.cache-bytes-per-token",
    "width": "biplane.number-bytes",
    "context": "biplane.context-tokens",
    "hidden": "biplane.hidden-size",
}
"""By which tags of a version its facts are known."""
_ATTENTION = frozenset({"full_attention", "attention"})
"""The kinds of layers whose cache grows with every token; a window, or a state of fixed size, counts as none."""
_ENCODER = re.compile(r"(?i)(bert|roberta|mpnet|electra|gtenew|^newmodel)")
"""Architectures that see a text whole and keep no cache."""


@dataclass(frozen=True)
class ModelFacts:
    """What serving a version takes. `cache_per_token` are the bytes of keys and values of one token in all layers, in
    the model's own number format of `width` bytes; `context` is the longest sequence it was made for, `hidden` how
    many numbers its layers pass on (0: unknown).
    """

    weights: int
    cache_per_token: int
    width: int
    context: int
    hidden: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any], weights: int) -> ModelFacts:
        """From a Hugging Face `config.json` and the bytes of the weights. What the config does not say counts as 0."""
        inner = config.get("text_config")
        text = {**config, **inner} if isinstance(inner, dict) else config
        width = BYTES.get(str(text.get("dtype") or text.get("torch_dtype") or "bfloat16").removeprefix("torch."), 2)
        hidden, heads = _whole(text, "hidden_size", "n_embd"), _whole(text, "num_attention_heads", "n_head")
        size = _whole(text, "head_dim") or (hidden // heads if heads else 0)
        # Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434) keeps one compressed vector and one rotary key.
        latent = _whole(text, "kv_lora_rank")
        kept = latent + _whole(text, "qk_rope_head_dim") if latent else 2 * _whole(text, "num_key_value_heads") * size
        if not kept:
            kept = 2 * heads * size
        context = _whole(text, "max_position_embeddings", "n_positions")
        return cls(weights, _growing_layers(text) * kept * width, width, context, hidden)

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> ModelFacts | None:
        """From the tags of a version; None where they do not tell its weights."""
        told = {name: int(tags[tag]) for name, tag in TAGS.items() if tags.get(tag, "").isdecimal()}
        return cls(**{"cache_per_token": 0, "width": 0, "context": 0, **told}) if told.get("weights") else None

    @property
    def tags(self) -> dict[str, str]:
        return {tag: str(getattr(self, name)) for name, tag in TAGS.items()}


@dataclass(frozen=True)
class Need:
    """Bytes on each device of a replica: to start at all, and for all requests that it takes at once at full length."""

    least: int
    full: int
    length: int
    sequences: int


def need_of(facts: ModelFacts, engine: Mapping[str, Any], devices: int) -> Need:
    """What a replica on so many devices needs of each. vLLM starts when one sequence of full length fits; beyond that
    it makes requests wait, or computes some again. A length that the engine is to choose itself counts as one token."""
    asked = engine.get("max_model_len") or facts.context
    length = max(1, asked) if isinstance(asked, int) else 1
    sequences = int(engine.get("max_num_seqs") or USUAL_SEQUENCES)
    fixed = _fixed(facts, engine, devices)
    one = math.ceil(_per_token(facts, engine) * length / max(1, devices))
    return Need(fixed + one, fixed + one * sequences, length, sequences)


def longest_in(room: int, facts: ModelFacts, engine: Mapping[str, Any], devices: int) -> int:
    """How many tokens one sequence may have where each of so many devices gives `room` bytes; 0: not even one."""
    left, per_token = room - _fixed(facts, engine, devices), _per_token(facts, engine)
    if left < 0 or not per_token:
        return 0 if left < 0 else facts.context
    return int(left * max(1, devices) // per_token)


def room_of(memory: int, engine: Mapping[str, Any]) -> int:
    """What the engine takes of a device with so many bytes."""
    return int(memory * float(engine.get("gpu_memory_utilization") or UTILIZATION))


def _fixed(facts: ModelFacts, engine: Mapping[str, Any], devices: int) -> int:
    """The weights' part on each device, and what is needed beside them. vLLM serves 32-bit weights in 16 bits unless
    it is told otherwise."""
    return math.ceil(facts.weights * _narrowed(facts, engine) / max(1, devices)) + MARGIN


def _per_token(facts: ModelFacts, engine: Mapping[str, Any]) -> float:
    if str(engine.get("kv_cache_dtype", "")).startswith(FP8) and facts.width:
        return facts.cache_per_token / facts.width
    return facts.cache_per_token * _narrowed(facts, engine)


def _narrowed(facts: ModelFacts, engine: Mapping[str, Any]) -> float:
    """By how much the engine's number format is smaller or larger than the model's own."""
    served = BYTES.get(str(engine.get("dtype")), min(2, facts.width))
    return served / facts.width if facts.width else 1.0


def _growing_layers(config: Mapping[str, Any]) -> int:
    """How many layers keep keys and values of every token."""
    named = config.get("architectures")
    if isinstance(named, list) and any(_ENCODER.search(str(one)) for one in named):
        return 0
    kinds = config.get("layer_types") or config.get("layers_block_type")
    if isinstance(kinds, list):
        return sum(kind in _ATTENTION for kind in kinds)
    if isinstance(config.get("sliding_window"), int) and config.get("use_sliding_window", True):
        return 0
    return _whole(config, "num_hidden_layers", "n_layer")


def _whole(config: Mapping[str, Any], *names: str) -> int:
    """The first of these that is there, as a whole number; 0 when none is."""
    found = next((config[name] for name in names if isinstance(config.get(name), int)), 0)
    return max(0, int(found))
