"""How much device memory a language model takes: its weights, and the keys and values of its requests. Pure."""

from __future__ import annotations

import math
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


@dataclass(frozen=True)
class ModelFacts:
    """What serving a version takes. `cache_per_token` are the bytes of keys and values of one token in all layers, in
    the model's own number format of `width` bytes; `context` is the longest sequence it was made for (0: unknown).
    """

    weights: int
    cache_per_token: int
    width: int
    context: int

    @classmethod
    def of(cls, config: Mapping[str, Any], weights: int) -> ModelFacts:
        """From a Hugging Face `config.json` and the bytes of the weights. What the config does not say counts as 0."""
        text = {**config, **config.get("text_config", {})}
        width = BYTES.get(str(text.get("dtype") or text.get("torch_dtype") or "bfloat16").removeprefix("torch."), 2)
        layers, heads = _whole(text, "num_hidden_layers", "n_layer"), _whole(text, "num_attention_heads", "n_head")
        size = _whole(text, "head_dim") or (_whole(text, "hidden_size", "n_embd") // heads if heads else 0)
        # Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434) keeps one compressed vector and one rotary key.
        latent = _whole(text, "kv_lora_rank")
        kept = latent + _whole(text, "qk_rope_head_dim") if latent else 2 * _whole(text, "num_key_value_heads") * size
        if not kept:
            kept = 2 * heads * size
        return cls(weights, layers * kept * width, width, _whole(text, "max_position_embeddings", "n_positions"))


@dataclass(frozen=True)
class Need:
    """Bytes on each device of a replica: to start at all, and for all requests that it takes at once at full length."""

    least: int
    full: int
    length: int
    sequences: int


def need_of(facts: ModelFacts, engine: Mapping[str, Any], devices: int) -> Need:
    """What a replica on so many devices needs of each. vLLM starts when one sequence of full length fits; beyond that
    it makes requests wait, or computes some again."""
    devices = max(1, devices)
    length = int(engine.get("max_model_len") or facts.context)
    sequences = int(engine.get("max_num_seqs") or USUAL_SEQUENCES)
    per_token = facts.cache_per_token
    if str(engine.get("kv_cache_dtype", "")).startswith(FP8) and facts.width:
        per_token //= facts.width
    fixed = math.ceil(facts.weights / devices) + MARGIN
    one = math.ceil(per_token * length / devices)
    return Need(fixed + one, fixed + one * sequences, length, sequences)


def room_of(memory: int, engine: Mapping[str, Any]) -> int:
    """What the engine takes of a device with so many bytes."""
    return int(memory * float(engine.get("gpu_memory_utilization") or UTILIZATION))


def _whole(config: Mapping[str, Any], *names: str) -> int:
    """The first of these that is there, as a whole number; 0 when none is."""
    found = next((config[name] for name in names if isinstance(config.get(name), int)), 0)
    return max(0, int(found))
