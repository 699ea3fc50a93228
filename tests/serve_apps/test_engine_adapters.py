"""LoRA adapters beside their model: what vLLM is told, and what is refused before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serve_apps.engine_adapters import adapter_arguments, adapter_paths, ensure_adapters


def adapter(directory: Path, weights: str = "adapter_model.safetensors", **configuration: Any) -> str:
    directory.mkdir()
    (directory / "adapter_config.json").write_text(json.dumps({"r": 8, **configuration}))
    (directory / weights).write_bytes(b"")
    return str(directory)


def test_without_adapters_the_engine_is_told_nothing() -> None:
    assert adapter_arguments({}) == {}


def test_room_is_kept_for_the_highest_rank_and_for_every_adapter(tmp_path: Path) -> None:
    paths = {
        "low": adapter(tmp_path / "low"),
        "high": adapter(tmp_path / "high", r=12, rank_pattern={"q_proj": 40}),
    }
    ensure_adapters(paths, "/models/chat/1", "")
    assert adapter_arguments(adapter_paths(paths, "/models/chat/1")) == {
        "enable_lora": True,
        "max_lora_rank": 64,
        "max_loras": 2,
        "max_cpu_loras": 2,
    }


def test_of_many_adapters_few_are_on_the_device_at_once(tmp_path: Path) -> None:
    told = adapter_arguments({f"a{number}": adapter(tmp_path / f"a{number}") for number in range(20)})
    assert (told["max_loras"], told["max_cpu_loras"]) == (8, 20)


def test_files_of_an_artifact_are_kept_beside_the_model_and_a_directory_stays_where_it_is() -> None:
    found = adapter_paths({"a": "models:/fine/3", "b": "models:/fine/3", "c": "/mine/c"}, "/models/chat/1")
    assert found["a"] == found["b"]
    assert found["a"].startswith("/models/chat/1.adapters/")
    assert found["c"] == "/mine/c"


@pytest.mark.parametrize(
    ("weights", "configuration", "said"),
    [
        ("adapter_model.bin", {}, "found adapter_config.json, adapter_model.bin"),
        ("adapter_model.safetensors", {"r": None}, r"ranks of 1 to 512 .* found \{None\}"),
        ("adapter_model.safetensors", {"r": 1000}, r"ranks of 1 to 512 .* found \{1000\}"),
    ],
    ids=["weights that run code", "no rank", "a rank that vLLM does not have"],
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, weights: str, configuration: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ensure_adapters({"a": adapter(tmp_path / "a", weights, **configuration)}, "/models/chat/1", "")
