"""The engine of a replica, in the replica's own process: its life, its executor, its figures and its adapters.

Imports vLLM, so only a replica imports this. Nothing is stored. A killed replica takes its engine with it
(the kernel sends the signal), so a crash at any line leaves no process and no device held.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine
from ray.serve.llm import LLMConfig
from vllm.entrypoints.openai.models.protocol import LoRAModulePath
from vllm.platforms import current_platform
from vllm.pooling_params import PoolingParams
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.tasks import POOLING_TASKS

from control.engine_report import EngineReport
from serve_apps.engine_figures import PROBE, Figures

CHILD_PYTHON = Path(__file__).with_name("python_dying_with_parent.sh")
CHILD_PYTHON_TARGET = "BIPLANE_PYTHON"  # read by that script
FIRST = -(1 << 31)
"""A priority before all others, where the engine's scheduler knows priorities."""


class PrepareEngine(CallbackBase):
    """What happens before vLLM starts. Named to `ray.serve.llm` by import path."""

    def __init__(self, **ray_arguments: Any) -> None:
        super().__init__(**ray_arguments)
        # Ray would start one task per node to look for the files of a model that is already a local path.
        self.ctx.run_init_node = False

    async def on_before_node_init(self) -> None:
        # vLLM spawns EngineCore with multiprocessing's executable. Without this, an engine outlives its
        # SIGKILLed replica and keeps the device's memory. EngineCore's own children end with it.
        os.environ[CHILD_PYTHON_TARGET] = sys.executable
        multiprocessing.set_executable(str(CHILD_PYTHON))


class LeanEngine(VLLMEngine):
    """`VLLMEngine` that runs a model of one device inside EngineCore, as vLLM itself does outside Ray.

    Ray always asks for the multiprocess executor: one more process, 14 s more of imports, 0.7 GB more memory. Its
    `adapters` are served under their names beside the model: name → directory. `figures` count from its start.
    """

    def __init__(self, config: LLMConfig, adapters: Mapping[str, str]) -> None:
        super().__init__(config)
        self.figures = Figures()
        self._adapters = adapters
        self._probes = count()

    def _prepare_engine_config(self, *context: Any) -> Any:
        prepared = super()._prepare_engine_config(*context)
        parallel = prepared[2].parallel_config
        if parallel.world_size == 1:
            parallel.distributed_executor_backend = "uni"
        if self._adapters:
            prepared[1].lora_modules = [LoRAModulePath(name=name, path=path) for name, path in self._adapters.items()]
        return prepared

    def _start_async_llm_engine(self, *prepared: Any) -> Any:
        began = time.monotonic()
        client = super()._start_async_llm_engine(*prepared)
        self._core_seconds = time.monotonic() - began
        client.logger_manager.stat_loggers.append(self.figures)
        self._time_tokenizer(client.renderer)
        return client

    def _time_tokenizer(self, renderer: Any) -> None:
        """Count how long each prompt takes from text to tokens: vLLM itself does not say."""
        tokenize = renderer._tokenize_prompt_async

        async def timed(*given: Any) -> Any:
            began = time.perf_counter()
            tokens = await tokenize(*given)
            self.figures.record_tokenizing(time.perf_counter() - began)
            return tokens

        renderer._tokenize_prompt_async = timed

    def describe(self, about: EngineReport) -> EngineReport:
        """`about` with what the engine can hold at once, and the start of its own process apart from ours."""
        config, whole = self._engine_client.vllm_config, about.started_s["engine"]
        parts = {"configuration": round(whole - self._core_seconds, 3), "engine": round(self._core_seconds, 3)}
        return replace(
            about,
            started_s={**about.started_s, **parts},
            kv_tokens=config.cache_config.num_gpu_blocks * config.cache_config.block_size,
            most_running=config.scheduler_config.max_num_seqs,
            adapters=tuple(sorted(self._adapters)),
        )

    @property
    def on_cpu(self) -> bool:
        return bool(current_platform.is_cpu())

    @property
    def is_dead(self) -> bool:
        return bool(self._engine_client.errored)

    @property
    def requests(self) -> int:
        return int(self._engine_client.get_num_unfinished_requests())

    @property
    def processes(self) -> Sequence[int]:
        return [process.pid for process in self._engine_client.engine_core.resources.engine_manager.processes]

    async def probe(self) -> None:
        """One token, or one vector, out of the prompt that is shortest: token 0."""
        client, name = self._engine_client, f"{PROBE}-{next(self._probes)}"
        tasks = await client.get_supported_tasks()
        first = {"priority": FIRST} if client.vllm_config.scheduler_config.policy == "priority" else {}
        prompt = {"prompt_token_ids": [0]}
        if "generate" in tasks:
            only = SamplingParams(
                max_tokens=1, detokenize=False, skip_reading_prefix_cache=True, output_kind=RequestOutputKind.FINAL_ONLY
            )
            answers = client.generate(prompt, only, name, **first)
        else:
            task = next(task for task in tasks if task in POOLING_TASKS)
            answers = client.encode(prompt, PoolingParams(task=task, skip_reading_prefix_cache=True), name, **first)
        async for _ in answers:
            pass
