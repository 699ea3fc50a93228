"""Engine settings: the article's are taken over, vLLM's own are checked, what is not safe is refused."""

from __future__ import annotations

from typing import Any

import pytest

from control.specs.engine import engine_arguments, engine_faults, without_effect_on_cpu

KNOWN = {
    "max_model_len": "int | None",
    "tensor_parallel_size": "int",
    "gpu_memory_utilization": "float",
    "enable_prefix_caching": "bool | None",
    "load_format": "str | LoadFormats",
    "trust_remote_code": "bool",
    "override_generation_config": "dict[str, Any]",
    "kv_offloading_size": "float | None",
}
ARTICLE = {
    "tensor_parallel_size": 4,
    "gpu_memory_utilization": 0.90,
    "max_model_len": 8192,
    "enable_prefix_caching": True,
    "swap_space": 4,
    "temperature": 0.7,
    "top_p": 0.9,
    "max_tokens": 512,
    "repetition_penalty": 1.1,
}


def told(engine: dict[str, Any], known: dict[str, str] = KNOWN) -> list[str]:
    return [
        f"{'.'.join(map(str, f.path))}: {f.found} | {f.expected} | {f.nearest}"
        for f in engine_faults(engine, known, ("engine",))
    ]


def test_the_article_s_settings_are_right_and_reach_vllm_under_its_own_names() -> None:
    assert told(ARTICLE) == []
    assert engine_arguments(ARTICLE) == {
        "tensor_parallel_size": 4,
        "gpu_memory_utilization": 0.90,
        "max_model_len": 8192,
        "enable_prefix_caching": True,
        "kv_offloading_size": 4.0,
        "override_generation_config": {
            "temperature": 0.7,
            "top_p": 0.9,
            "max_new_tokens": 512,
            "repetition_penalty": 1.1,
        },
    }
    assert without_effect_on_cpu(ARTICLE) == ["tensor_parallel_size", "gpu_memory_utilization", "swap_space"]


def test_what_is_given_under_vllm_s_own_names_wins() -> None:
    given = {
        "temperature": 1.0,
        "override_generation_config": {"temperature": 0.0},
        "swap_space": 4,
        "kv_offloading_size": 8,
    }
    assert engine_arguments(given) == {"override_generation_config": {"temperature": 0.0}, "kv_offloading_size": 8}
    assert engine_arguments({"swap_space": 0}) == {"kv_offloading_size": None}


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (
            {"max_modl_len": 8},
            "vLLM has no argument 'max_modl_len' | an argument of the installed vLLM | max_model_len",
        ),
        ({"temprature": 1}, "| temperature"),
        ({"max_model_len": "many"}, "engine.max_model_len: found 'many' | int | None |"),
        ({"max_model_len": True}, "found true | int | None"),
        ({"enable_prefix_caching": 1}, "found 1 | bool | None"),
        ({"temperature": "hot"}, "found 'hot' | a number, 0 or more"),
        ({"top_p": -1}, "found -1 | a number, 0 or more"),
        ({"max_tokens": 1.5}, "found 1.5 | a whole number, 1 or more"),
        ({"load_format": "pt"}, "found 'pt' | safetensors: other formats run code when they are read"),
        ({"trust_remote_code": True}, "the code that comes with a model is not run"),
        ({"logits_processors": ["x:y"]}, "code of a request's or a file's choosing is not run"),
        ({"served_model_name": "x"}, "served_model_name is set by Biplane"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_right(engine: dict[str, Any], expected: str) -> None:
    (problem,) = told(engine)
    assert expected in problem


def test_what_is_left_off_harms_nobody() -> None:
    assert told({"trust_remote_code": False, "load_format": "safetensors", "gpu_memory_utilization": 1}) == []


def test_without_vllm_only_what_biplane_knows_itself_is_checked() -> None:
    assert told({"max_modl_len": 8}, {}) == []
    assert len(told({"model": "x", "worker_cls": "y"}, {})) == 2
