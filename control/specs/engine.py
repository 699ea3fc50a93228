"""The settings of a serving engine: vLLM's own arguments, and the article's names for what vLLM calls otherwise.

Pure. What arguments the installed vLLM has is handed in: reading it is not a spec's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.specs.problem import Fault, Loc, nearest, show

SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_new_tokens",
    "repetition_penalty": "repetition_penalty",
}
"""Defaults of a request that does not say otherwise → their names in a model's generation config."""
SWAP_SPACE = "swap_space"
"""GiB of host memory for the KV cache: a V1 engine offloads to it (`kv_offloading_size`) where it once swapped."""
OFFLOADING = "kv_offloading_size"
GENERATION = "override_generation_config"
OURS = {
    "model": "the deployment's model and version say it",
    "served_model_name": "the deployment's name is the model's name for clients",
    "distributed_executor_backend": "it follows from the devices of the lease",
    "middleware": "the engine's door is locked before it",
    "disable_log_stats": "metrics and autoscaling are made of them",
    "api_key": "engines are reached through the gateway, whose keys clients use",
    "download_dir": "models are kept in the plane's home",
}
"""Arguments that Biplane sets, and why nobody else does."""
EVALUATES = {
    "trust_remote_code": "the code that comes with a model is not run",
    "worker_cls": "code of a request's or a file's choosing is not run",
    "worker_extension_cls": "code of a request's or a file's choosing is not run",
    "scheduler_cls": "code of a request's or a file's choosing is not run",
    "logits_processors": "code of a request's or a file's choosing is not run",
    "io_processor_plugin": "code of a request's or a file's choosing is not run",
    "reasoning_parser_plugin": "code of a request's or a file's choosing is not run",
}
"""Arguments that run code from outside; False and None leave it alone."""
LOADS = frozenset({"auto", "safetensors", "dummy", "fastsafetensors", "runai_streamer"})
"""Ways of loading weights that do not unpickle."""
NO_EFFECT_ON_CPU = frozenset({"gpu_memory_utilization", "tensor_parallel_size", SWAP_SPACE, OFFLOADING})
_PLAIN: Mapping[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}


def engine_faults(engine: Mapping[str, Any], known: Mapping[str, str], path: Loc) -> Iterator[Fault]:
    """What is wrong with the settings. `known` are the arguments of the installed engine with their types as written
    there; empty when it cannot be told, and then only names that Biplane knows itself are checked."""
    for name, value in engine.items():
        at = (*path, name)
        if name in OURS:
            yield Fault(at, f"{name} is set by Biplane: {OURS[name]}", "no such setting")
        elif name in EVALUATES and value not in (None, False, ""):
            yield Fault(at, f"{name}: {show(value)}: {EVALUATES[name]}", "false, or no such setting")
        elif name == "load_format" and value not in LOADS:
            yield Fault(at, f"found {show(value)}", "safetensors: other formats run code when they are read")
        elif name == "max_tokens":
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                yield Fault(at, f"found {show(value)}", "a whole number, 1 or more")
        elif name in SAMPLING or name == SWAP_SPACE:
            if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
                yield Fault(at, f"found {show(value)}", "a number, 0 or more")
        elif known and name not in known:
            names = [*known, *SAMPLING, SWAP_SPACE]
            yield Fault(at, f"vLLM has no argument {name!r}", "an argument of the installed vLLM", nearest(name, names))
        elif (types := _types(known.get(name, ""))) and not _is_one_of(value, types):
            yield Fault(at, f"found {show(value)}", f"{known[name]}")


def engine_arguments(engine: Mapping[str, Any]) -> dict[str, Any]:
    """The settings under vLLM's own names. What is given under those already wins."""
    found = {name: value for name, value in engine.items() if name not in SAMPLING and name != SWAP_SPACE}
    if SWAP_SPACE in engine:
        found.setdefault(OFFLOADING, float(engine[SWAP_SPACE]) or None)
    defaults = {SAMPLING[name]: value for name, value in engine.items() if name in SAMPLING}
    if defaults:
        found[GENERATION] = {**defaults, **found.get(GENERATION, {})}
    return found


def without_effect_on_cpu(engine: Mapping[str, Any]) -> list[str]:
    """The settings that a simulated device, which computes on the CPU, takes and ignores."""
    return [name for name in engine if name in NO_EFFECT_ON_CPU]


def _types(annotation: str) -> tuple[type, ...]:
    """The Python types of a plain annotation such as `int | None`; empty for what is not plain."""
    parts = [part.strip() for part in annotation.split("|")] if annotation else []
    types: tuple[type, ...] = ()
    for part in parts:
        if part == "None":
            types += (type(None),)
        elif part in _PLAIN:
            types += _PLAIN[part]
        else:
            return ()
    return types


def _is_one_of(value: object, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
