"""What an engine has done, counted from what vLLM tells its stat loggers after every step. Pure; imports no vLLM.

Counters only grow. The replica's own probes are taken out again when they finish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from control.engine_report import EngineReport
from control.traffic import bucket

PROBE = "biplane-probe"
"""What the id of a request begins with that the replica made itself."""


class PrefixCache(Protocol):
    """Prompt tokens that were looked up and found in the prefix cache in one step."""

    queries: int
    hits: int


class Step(Protocol):
    """vLLM's SchedulerStats, as far as they are read."""

    num_running_reqs: int
    kv_cache_usage: float

    @property
    def prefix_cache_stats(self) -> PrefixCache: ...


class Finished(Protocol):
    """vLLM's FinishedRequestStats, as far as they are read. Times in seconds."""

    request_id: str | None
    num_prompt_tokens: int
    num_generation_tokens: int
    queued_time: float
    prefill_time: float
    decode_time: float


class Iteration(Protocol):
    """vLLM's IterationStats, as far as they are read."""

    num_generation_tokens: int
    num_preempted_reqs: int

    @property
    def num_prompt_tokens(self) -> int: ...

    @property
    def finished_requests(self) -> Sequence[Finished]: ...


class Figures:
    """One of vLLM's stat loggers, by its shape. `record` runs on the replica's event loop, once a step.

    `steps` counts calls, `produced` tokens and finished requests, of probes too: that an engine is alive.
    """

    def __init__(self) -> None:
        self.steps = self.produced = 0
        self.clear()

    def clear(self) -> None:
        """Forget the warm-up. What shows that the engine lives stays."""
        self._requests = self._prompt = self._generated = 0
        self._queries = self._hits = self._preemptions = 0
        self._running: dict[int, int] = {}
        self._usage: dict[int, float] = {}
        self._queue: dict[int, int] = {}
        self._prefill: dict[int, int] = {}
        self._decode: dict[int, int] = {}
        self._tokenize: dict[int, int] = {}

    def record(
        self,
        scheduler_stats: Step | None,
        iteration_stats: Iteration | None,
        mm_cache_stats: object = None,
        engine_idx: int = 0,
    ) -> None:
        """What one step of one engine did."""
        self.steps += 1
        if scheduler_stats is not None:
            self._running[engine_idx] = scheduler_stats.num_running_reqs
            self._usage[engine_idx] = scheduler_stats.kv_cache_usage
            self._queries += scheduler_stats.prefix_cache_stats.queries
            self._hits += scheduler_stats.prefix_cache_stats.hits
        if iteration_stats is not None:
            self.produced += iteration_stats.num_generation_tokens + len(iteration_stats.finished_requests)
            self._prompt += iteration_stats.num_prompt_tokens
            self._generated += iteration_stats.num_generation_tokens
            self._preemptions += iteration_stats.num_preempted_reqs
            for finished in iteration_stats.finished_requests:
                self._finish(finished)

    def record_tokenizing(self, seconds: float) -> None:
        """How long a prompt was with the tokenizer, or waited for it."""
        _count(self._tokenize, seconds)

    def record_sleep_state(self, is_awake: int, level: int) -> None:
        """Part of a stat logger's shape; nothing here depends on it."""

    def log(self) -> None:
        """Part of a stat logger's shape; figures are read from `report`."""

    def log_engine_initialized(self) -> None:
        """Part of a stat logger's shape."""

    def report(self, about: EngineReport, unfinished: int) -> EngineReport:
        """`about` with the figures. `unfinished` requests are with the engine now, without probes.

        What vLLM says of running requests is as old as its last step: after it clients may have left or come.
        """
        running = min(sum(self._running.values()), unfinished)
        return replace(
            about,
            running=running,
            waiting=unfinished - running,
            kv_usage=max(self._usage.values(), default=0.0) if unfinished else 0.0,
            requests=self._requests,
            prompt_tokens=self._prompt,
            generated_tokens=self._generated,
            prefix_queries=self._queries,
            prefix_hits=self._hits,
            preemptions=self._preemptions,
            queue_ms=dict(self._queue),
            prefill_ms=dict(self._prefill),
            decode_ms=dict(self._decode),
            tokenize_ms=dict(self._tokenize),
        )

    def _finish(self, finished: Finished) -> None:
        if finished.request_id is not None and finished.request_id.startswith(PROBE):
            self._prompt -= finished.num_prompt_tokens
            self._generated -= finished.num_generation_tokens
            return
        self._requests += 1
        _count(self._queue, finished.queued_time)
        _count(self._prefill, finished.prefill_time)
        if finished.num_generation_tokens > 1:  # the first comes of the prefill
            _count(self._decode, finished.decode_time)


def _count(histogram: dict[int, int], seconds: float) -> None:
    """A request that ended before a stage of its life has a time below zero there: it is left out."""
    if seconds >= 0:
        index = bucket(seconds * 1000)
        histogram[index] = histogram.get(index, 0) + 1
