"""The engine of a replica, in the replica's own process: its key, its life and its executor.

Imports vLLM, so only a replica imports this. Nothing is stored. A killed replica takes its engine with it
(the kernel sends the signal), so a crash at any line leaves no process and no device held.
"""

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

from serve_apps.internal_key import ENVIRONMENT_VARIABLE, read_internal_key

CHILD_PYTHON = Path(__file__).with_name("python_dying_with_parent.sh")
CHILD_PYTHON_TARGET = "BIPLANE_PYTHON"  # read by that script


class PrepareEngine(CallbackBase):
    """What happens before vLLM starts. Named to `ray.serve.llm` by import path.

    Raises what `read_internal_key` raises: no key, no engine.
    """

    def __init__(self, internal_key_file: str, **ray_arguments: Any) -> None:
        super().__init__(**ray_arguments)
        self._internal_key_file = internal_key_file
        # Ray would start one task per node to look for the files of a model that is already a local path.
        self.ctx.run_init_node = False

    async def on_before_node_init(self) -> None:
        os.environ[ENVIRONMENT_VARIABLE] = read_internal_key(self._internal_key_file)
        # vLLM spawns EngineCore with multiprocessing's executable. Without this, an engine outlives its
        # SIGKILLed replica and keeps the device's memory. EngineCore's own children end with it.
        os.environ[CHILD_PYTHON_TARGET] = sys.executable
        multiprocessing.set_executable(str(CHILD_PYTHON))


class LeanEngine(VLLMEngine):
    """`VLLMEngine` that runs a model of one device inside EngineCore, as vLLM itself does outside Ray.

    Ray always asks for the multiprocess executor: one more process, 14 s more of imports, 0.7 GB more memory.
    """

    def _prepare_engine_config(self, *context: Any) -> Any:
        prepared = super()._prepare_engine_config(*context)
        parallel = prepared[2].parallel_config
        if parallel.world_size == 1:
            parallel.distributed_executor_backend = "uni"
        return prepared
