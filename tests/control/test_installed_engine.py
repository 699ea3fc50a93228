"""The arguments of the installed vLLM, read without importing it."""

from __future__ import annotations

import sys

from control.installed_engine import installed_arguments


def test_the_arguments_of_the_installed_vllm_are_known_without_importing_it() -> None:
    loaded = "vllm" in sys.modules
    known = installed_arguments()
    assert known["max_num_seqs"] == "int | None"
    assert known["enable_prefix_caching"] == "bool | None"
    assert {"tensor_parallel_size", "max_num_seqs", "block_size", "enable_lora"} <= known.keys()
    assert "swap_space" not in known
    assert ("vllm" in sys.modules) == loaded
