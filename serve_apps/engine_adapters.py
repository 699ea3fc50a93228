"""LoRA adapters that are served beside their model: their files, and what the engine must be told for them.

Only safetensors are read: other formats run code. Files arrive as a model's do (`serve_apps.model_files`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve_apps.model_files import ensure_model_files

CONFIGURATION, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM can reserve room for."""
MOST_AT_ONCE = 8
"""Adapters that requests of one step may use: vLLM keeps room on the device for so many, the rest are on the host."""


def adapter_paths(adapters: Mapping[str, str], model_path: str) -> dict[str, str]:
    """Where the files of each adapter are, or will be; a local directory stays where it is."""
    return {
        name: source
        if source.startswith("/")
        else f"{model_path}.adapters/{hashlib.sha256(source.encode()).hexdigest()}"
        for name, source in adapters.items()
    }


def ensure_adapters(adapters: Mapping[str, str], model_path: str, mlflow_url: str) -> None:
    """After this the files of all adapters are there.

    Raises MlflowException where there is no such artifact, and ValueError for what is no LoRA adapter in safetensors.
    """
    for name, path in adapter_paths(adapters, model_path).items():
        ensure_model_files(path, adapters[name], mlflow_url)
        for file in (CONFIGURATION, WEIGHTS):
            if not Path(path, file).is_file():
                found = ", ".join(sorted(one.name for one in Path(path).iterdir())) or "nothing"
                raise ValueError(f"adapter {name}: expected {CONFIGURATION} and {WEIGHTS} in {path}; found {found}")
        _rank(name, path)


def adapter_arguments(paths: Mapping[str, str]) -> dict[str, Any]:
    """vLLM's engine arguments for adapters in the directories `paths`; none without adapters."""
    if not paths:
        return {}
    highest = max(_rank(name, path) for name, path in paths.items())
    return {
        "enable_lora": True,
        "max_lora_rank": next(rank for rank in RANKS if rank >= highest),
        "max_loras": min(len(paths), MOST_AT_ONCE),
        "max_cpu_loras": len(paths),
    }


def _rank(name: str, path: str) -> int:
    """The highest rank of any of its layers. Raises ValueError."""
    told = json.loads(Path(path, CONFIGURATION).read_text())
    ranks = {told.get("r"), *(told.get("rank_pattern") or {}).values()}
    if not ranks.issubset(range(1, RANKS[-1] + 1)):
        raise ValueError(f"adapter {name}: expected ranks of 1 to {RANKS[-1]} in {CONFIGURATION}; found {ranks}")
    return int(max(ranks))
