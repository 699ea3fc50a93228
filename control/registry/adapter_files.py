"""Whether a directory is a LoRA adapter that can be served beside its model. Pure: on its listing and weight headers.

PEFT writes `adapter_config.json` and, for each layer that is adapted, two matrices: A of rank × what goes in, and B of
what comes out × rank (https://huggingface.co/docs/peft/developer_guides/checkpoint).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from control.registry.model_files import ADAPTER, ADAPTER_CONFIG, PICKLED, Listing, Tensor, file_faults, some

MOST_RANK = 512
"""The largest rank that vLLM serves."""
_PART = re.compile(r"\.lora_([AB])(\.[^.]+)?\.weight$")
_TAKES_HIDDEN = re.compile(r"\.(q_proj|k_proj|v_proj|qkv_proj|gate_proj|up_proj)\.lora_A(\.[^.]+)?\.weight$")
"""Layers that take in what a block passes on."""


def adapter_refusals(listing: Listing) -> tuple[str, ...]:
    """Everything that keeps the directory from being served as an adapter; empty when nothing does."""
    config = listing.documents.get(ADAPTER_CONFIG)
    if not isinstance(config, dict):
        return (f"{ADAPTER_CONFIG} is not a JSON object", *_weights(listing))
    return (*_config(config), *_weights(listing), *_ranks(listing, config))


def rank_of(listing: Listing) -> int:
    """The largest rank of its layers; 0 where it does not say one."""
    config = listing.documents[ADAPTER_CONFIG]
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    return max((rank for rank in ranks if isinstance(rank, int)), default=0)


def base_of(listing: Listing) -> str:
    """The model that it was trained on, as PEFT wrote it down: a hub id or a directory."""
    return str(listing.documents[ADAPTER_CONFIG].get("base_model_name_or_path") or "")


def hidden_of(listing: Listing) -> int:
    """How many numbers the blocks of its base pass on; 0 where none of its layers tells that."""
    taken = (tensor.shape for name, tensor in _tensors(listing).items() if _TAKES_HIDDEN.search(name))
    return next((shape[1] for shape in taken if len(shape) == 2), 0)


def _config(config: dict[str, Any]) -> Iterator[str]:
    kind = config.get("peft_type")
    if kind != "LORA":
        yield f"{ADAPTER_CONFIG} says peft_type {kind!r}; only LORA is served"
    rank = config.get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= MOST_RANK:
        yield f"{ADAPTER_CONFIG} says r {rank!r}; expected a rank of 1 to {MOST_RANK}"
    if config.get("use_dora"):
        yield "it uses DoRA, which the engine does not serve; merge it into its model"
    if config.get("modules_to_save"):
        yield "it replaces whole layers (modules_to_save), which the engine does not serve; merge it into its model"
    if config.get("bias", "none") != "none":
        yield f"it changes biases (bias: {config['bias']}), which the engine does not serve; merge it into its model"


def _weights(listing: Listing) -> Iterator[str]:
    if ADAPTER in listing.sizes:
        yield from file_faults(ADAPTER, listing)
    elif others := [name for name in sorted(listing.sizes) if name.lower().endswith(PICKLED)]:
        yield f"its weights are {some(others)}; only safetensors are taken"
    else:
        yield f"there are no weights; expected {ADAPTER}"


def _ranks(listing: Listing, config: dict[str, Any]) -> Iterator[str]:
    """Each layer has both matrices, which meet in the rank; that is the configuration's where no layer has its own."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in _tensors(listing).items():
        if found := _PART.search(name):
            parts.setdefault(name[: found.start()], {})[found[1]] = tensor
    if not parts and not any(_weights(listing)):
        yield f"{ADAPTER} holds no LoRA matrix"
    for layer, both in sorted(parts.items()):
        if len(both) < 2:
            yield f"{ADAPTER}: {layer} has no lora_{'B' if 'A' in both else 'A'}"
            return
        shapes = both["A"].shape, both["B"].shape
        met = (shapes[0][:1], shapes[1][-1:])
        if met[0] != met[1] or not (config.get("rank_pattern") or met[0] == (config.get("r"),)):
            listed = " and ".join(str(list(shape)) for shape in shapes)
            yield f"{ADAPTER}: {layer} has the shapes {listed} where {ADAPTER_CONFIG} says r {config.get('r')}"
            return


def _tensors(listing: Listing) -> dict[str, Tensor]:
    return dict(listing.headers[ADAPTER].tensors) if ADAPTER in listing.headers else {}
