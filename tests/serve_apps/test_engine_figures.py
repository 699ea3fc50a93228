"""What vLLM tells its stat loggers becomes an engine's report."""

from __future__ import annotations

from dataclasses import dataclass, field

from control.engine_report import EngineReport
from control.traffic import bucket
from serve_apps.engine_figures import PROBE, Figures

ABOUT = EngineReport("http://127.0.0.1:1", pid=7, kv_tokens=1024)


@dataclass
class Cache:
    queries: int = 0
    hits: int = 0


@dataclass
class Step:
    """Of the shape of vLLM's SchedulerStats."""

    num_running_reqs: int = 0
    kv_cache_usage: float = 0.0
    prefix_cache_stats: Cache = field(default_factory=Cache)


@dataclass
class Finished:
    """Of the shape of vLLM's FinishedRequestStats."""

    request_id: str | None = "cmpl-1"
    num_prompt_tokens: int = 10
    num_generation_tokens: int = 5
    queued_time: float = 0.001
    prefill_time: float = 0.02
    decode_time: float = 0.3


@dataclass
class Iteration:
    """Of the shape of vLLM's IterationStats."""

    num_generation_tokens: int = 0
    num_prompt_tokens: int = 0
    num_preempted_reqs: int = 0
    finished_requests: list[Finished] = field(default_factory=list)


def test_counters_add_up_over_steps() -> None:
    figures = Figures()
    figures.record(Step(2, 0.25, Cache(20, 16)), Iteration(2, 20, 0))
    figures.record(Step(2, 0.5, Cache(4, 1)), Iteration(2, 0, 1))
    told = figures.report(ABOUT, 3)
    assert (told.running, told.waiting, told.kv_usage) == (2, 1, 0.5)
    assert (told.prompt_tokens, told.generated_tokens, told.preemptions) == (20, 4, 1)
    assert (told.prefix_queries, told.prefix_hits) == (24, 17)
    assert (told.url, told.pid, told.kv_tokens) == (ABOUT.url, 7, 1024)


def test_times_of_finished_requests_are_counted_in_milliseconds() -> None:
    figures = Figures()
    broken = Finished(num_generation_tokens=0, prefill_time=-5000.0, decode_time=0.0)
    figures.record(Step(), Iteration(finished_requests=[Finished(), Finished(), broken]))
    told = figures.report(ABOUT, 0)
    assert told.requests == 3
    assert told.queue_ms == {bucket(1): 3}
    assert told.prefill_ms == {bucket(20): 2}, "a request that ended before its first token has no such time"
    assert told.decode_ms == {bucket(300): 2}


def test_time_with_the_tokenizer_is_counted() -> None:
    figures = Figures()
    figures.record_tokenizing(0.004)
    assert figures.report(ABOUT, 0).tokenize_ms == {bucket(4): 1}


def test_a_probe_shows_that_the_engine_lives_and_is_in_no_figure() -> None:
    figures = Figures()
    probe = Finished(f"{PROBE}-3", num_prompt_tokens=1, num_generation_tokens=1)
    figures.record(Step(), Iteration(1, 1, 0, [probe]))
    assert figures.report(ABOUT, 0) == ABOUT
    assert (figures.steps, figures.produced) == (1, 2)


def test_a_step_of_a_long_prompt_counts_though_no_token_comes_of_it() -> None:
    figures = Figures()
    figures.record(Step(1, 0.5), None)
    assert (figures.steps, figures.produced) == (1, 0)


def test_requests_that_left_since_the_last_step_do_not_run() -> None:
    figures = Figures()
    figures.record(Step(5, 0.5), Iteration(5))
    told = figures.report(ABOUT, 0)
    assert (told.running, told.waiting, told.kv_usage) == (0, 0, 0.0)


def test_the_warm_up_is_forgotten_but_not_that_the_engine_lived() -> None:
    figures = Figures()
    figures.record(Step(0, 0.0, Cache(9, 0)), Iteration(2, 9, 0, [Finished()]))
    figures.record_tokenizing(1.0)
    figures.clear()
    assert figures.report(ABOUT, 0) == ABOUT
    assert (figures.steps, figures.produced) == (1, 3)
