"""Whether a Hugging Face directory is a model that can be served. Pure: on its listing, its JSON and weight headers.

A safetensors file begins with 8 bytes (little-endian length n) and n bytes of JSON: for each tensor its dtype, shape
and [begin, end) in the data that follows (https://github.com/huggingface/safetensors#format). That is enough to find
weights that are cut short, missing, or of another shape than `config.json` says, without loading any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

CONFIG, INDEX, SINGLE = "config.json", "model.safetensors.index.json", "model.safetensors"
TOKENIZER_CONFIG = "tokenizer_config.json"
ADAPTER_CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"
MODULES = "modules.json"
"""Of sentence-transformers: what its vectors pass through, each with a folder of its own."""
TEMPLATES = ("chat_template.jinja", "chat_template.json")
JSON_FILES = (CONFIG, INDEX, TOKENIZER_CONFIG, ADAPTER_CONFIG, MODULES)
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
"""Weights that run code when loaded, or that no engine here reads."""
TOKENIZERS = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4,
}  # fmt: skip
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings)\.weight$")
_LAYER = re.compile(r"(^|\.)(layers|h|blocks|layer)\.(\d+)\.")
_EMBEDS = re.compile(r"((?<!LMHead)Model|ForMaskedLM|ForTextEncoding)$")
"""Architectures whose answers are vectors."""
_PLAIN = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
"""Architectures all of whose layers have the shapes that their configuration says plainly."""
_NO_TEMPLATE = (
    "there is no chat template; give one with --chat-template FILE, or say --no-chat for a model that only completes"
)
_SHOWN = 3


@dataclass(frozen=True)
class Tensor:
    """One entry of a safetensors header. `begin` and `end` in bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """The header of one safetensors file; `length` bytes with the 8 that tell it. `fault` where it cannot be read."""

    length: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True)
class Listing:
    """A model's directory: sizes in bytes of all files by name, its JSON (a text where it is none), its headers."""

    sizes: Mapping[str, int]
    documents: Mapping[str, Any]
    headers: Mapping[str, Header]

    @property
    def is_adapter(self) -> bool:
        """Whether it holds an adapter of a model instead of a model."""
        return ADAPTER_CONFIG in self.sizes and CONFIG not in self.sizes

    @property
    def weights(self) -> tuple[str, ...]:
        """The files of weights that belong to the model: one, or the shards of its index; or an adapter's."""
        if self.is_adapter:
            return (ADAPTER,) if ADAPTER in self.sizes else ()
        if INDEX in self.sizes:
            index = self.documents.get(INDEX)
            named = index.get("weight_map", {}) if isinstance(index, dict) else {}
            return tuple(sorted(set(map(str, named.values())))) if isinstance(named, dict) else ()
        return (SINGLE,) if SINGLE in self.sizes else ()

    @property
    def kept(self) -> tuple[str, ...]:
        """What is registered: everything but hidden files and weights of other forms, and of those only `weights` and
        what is in the folders of its modules."""
        modules = self.documents.get(MODULES)
        paths = [one.get("path") for one in modules if isinstance(one, dict)] if isinstance(modules, list) else []
        folders = tuple(f"{path}/" for path in paths if path)
        return tuple(
            name
            for name in sorted(self.sizes)
            if not name.lower().endswith(PICKLED)
            and not any(part.startswith(".") for part in name.split("/"))
            and (not name.endswith(".safetensors") or name in self.weights or name.startswith(folders))
        )


def parse_header(raw: Any, length: int) -> Header:
    """The header out of its JSON; with a fault when it does not describe tensors."""
    try:
        tensors = {
            name: Tensor(str(entry["dtype"]), tuple(map(int, entry["shape"])), *map(int, entry["data_offsets"]))
            for name, entry in raw.items()
            if name != "__metadata__"
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return Header(length, fault="its header describes no tensors")
    return Header(length, tensors)


def refusals(listing: Listing, *, chat: bool) -> tuple[str, ...]:
    """Everything that keeps the directory from being served as a model; empty when nothing does. With `chat`, a chat
    template is needed, unless it embeds."""
    found = [*_config(listing), *_weights(listing)]
    if not found:
        found += _shapes(listing)
    silent = chat and not chats(listing) and not embeds(listing)
    return (*found, *_tokenizer(listing), *((_NO_TEMPLATE,) if silent else ()))


def embeds(listing: Listing) -> bool:
    """Whether its answers are vectors: it pools, or its architecture has no head that makes text."""
    modules, config = listing.documents.get(MODULES), listing.documents.get(CONFIG)
    if isinstance(modules, list) and any(
        ".Pooling" in str(one.get("type")) for one in modules if isinstance(one, dict)
    ):
        return True
    named = config.get("architectures") if isinstance(config, dict) else None
    return isinstance(named, list) and any(_EMBEDS.search(str(one)) for one in named)


def chats(listing: Listing) -> bool:
    """Whether it has a chat template."""
    told = listing.documents.get(TOKENIZER_CONFIG)
    inside = isinstance(told, dict) and bool(told.get("chat_template"))
    return inside or any(name in listing.sizes for name in TEMPLATES)


def _config(listing: Listing) -> Iterator[str]:
    if CONFIG not in listing.sizes:
        yield f"there is no {CONFIG}; expected a Hugging Face model directory"
    elif not isinstance(config := listing.documents.get(CONFIG), dict):
        yield f"{CONFIG} is not a JSON object"
    elif not config.get("architectures"):
        yield f'{CONFIG} names no "architectures"; expected for example ["LlamaForCausalLM"]'


def _weights(listing: Listing) -> Iterator[str]:
    if not listing.weights:
        others = [name for name in sorted(listing.sizes) if name.lower().endswith(PICKLED)]
        if INDEX in listing.sizes:
            yield f'{INDEX} has no "weight_map" that names files'
        elif others:
            yield f"its weights are {some(others)}; only safetensors are taken"
        else:
            yield f"there are no weights; expected {SINGLE}, or {INDEX} with its files"
    for name in listing.weights:
        yield from file_faults(name, listing)
    if not any(name not in listing.headers or listing.headers[name].fault for name in listing.weights):
        yield from _index(listing)


def file_faults(name: str, listing: Listing) -> Iterator[str]:
    """What is wrong with one file of weights: missing, cut short, or with tensors that are not what they say."""
    if name not in listing.sizes:
        yield f"{INDEX} names {name}, which is missing"
        return
    header = listing.headers.get(name, Header(0, fault="it is no safetensors file"))
    if header.fault:
        yield f"{name}: {header.fault}"
        return
    for tensor_name, tensor in header.tensors.items():
        bits = BITS.get(tensor.dtype)
        if bits is not None and math.prod(tensor.shape) * bits != (tensor.end - tensor.begin) * 8:
            shape = f"{tensor.dtype} of shape {list(tensor.shape)}"
            yield f"{name}: {tensor_name} is {shape} but has {tensor.end - tensor.begin} bytes"
            return
    whole = header.length + max((tensor.end for tensor in header.tensors.values()), default=0)
    if listing.sizes[name] != whole:
        yield f"{name} has {listing.sizes[name]} bytes where its header says {whole}: it was not copied whole"


def _index(listing: Listing) -> Iterator[str]:
    """Each tensor that the index names is in the file that it names."""
    if INDEX not in listing.sizes or not listing.weights:
        return
    named = listing.documents[INDEX]["weight_map"]
    absent = sorted(name for name, file in named.items() if name not in listing.headers[file].tensors)
    if absent:
        yield f"{INDEX} names {some(absent)}, which the files do not hold"


def _tokenizer(listing: Listing) -> Iterator[str]:
    if not any(all(part in listing.sizes for part in parts) for parts in TOKENIZERS):
        yield "there is no tokenizer; expected tokenizer.json, tokenizer.model, or vocab.json with merges.txt"
    if TOKENIZER_CONFIG in listing.sizes and not isinstance(listing.documents.get(TOKENIZER_CONFIG), dict):
        yield f"{TOKENIZER_CONFIG} is not a JSON object"


def _shapes(listing: Listing) -> Iterator[str]:
    """The embedding against `vocab_size` and `hidden_size`, the layers against `num_hidden_layers`.

    Quantized weights have packed shapes, so those are left to the engine.
    """
    config = listing.documents[CONFIG]
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    tensors = {name: t for file in listing.weights for name, t in listing.headers[file].tensors.items()}
    if not tensors:
        yield "its files of weights hold no tensor"
        return
    if "quantization_config" not in config:
        expected = [text.get("vocab_size"), text.get("hidden_size")]
        embeddings = ((name, t) for name, t in sorted(tensors.items()) if _EMBEDDING.search(name))
        for name, tensor in islice(embeddings, 1):
            if all(isinstance(size, int) for size in expected) and list(tensor.shape) != expected:
                yield f"{name} has shape {list(tensor.shape)} where {CONFIG} says {expected} (vocab_size, hidden_size)"
                return
        if _PLAIN.intersection(config.get("architectures", ())):
            yield from islice(_plain_shapes(tensors, text), 1)
    layers = {int(found[3]) for name in tensors if (found := _LAYER.search(name))}
    wanted = text.get("num_hidden_layers")
    if layers and isinstance(wanted, int) and (missing := sorted(set(range(wanted)) - layers)):
        yield f"{CONFIG} says {wanted} layers, and there are no weights of layer {some(list(map(str, missing)))}"


def _plain_shapes(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Iterator[str]:
    """Matrices of a plain decoder that are not of the shape that the configuration gives them, by their names."""
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if not isinstance(hidden, int) or not isinstance(heads, int) or not heads:
        return
    size = config.get("head_dim") or hidden // heads
    inner, queries = config.get("intermediate_size"), heads * size
    pairs = (config.get("num_key_value_heads") or heads) * size
    wanted = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (pairs, hidden),
        "self_attn.v_proj": (pairs, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    for name, tensor in sorted(tensors.items()):
        shape = next((shape for part, shape in wanted.items() if name.endswith(f".{part}.weight")), tensor.shape)
        if None not in shape and tensor.shape != shape:
            yield f"{name} has shape {list(tensor.shape)} where {CONFIG} makes it {list(shape)}"


def some(names: Collection[str]) -> str:
    """The first few of them, and how many more there are."""
    shown = ", ".join(islice(names, _SHOWN))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
