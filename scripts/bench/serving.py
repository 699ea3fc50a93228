"""What serving through Biplane costs: the same engine asked three ways, turn by turn in one run.

  bare     tiny: vllm.entrypoints.openai.api_server with the same engine settings; paced: the same ASGI application
           alone under uvicorn
  direct   the model's own Serve route, through HAProxy, with the internal key
  biplane  the gateway, with a client's key
  ray      (--peer, tiny only) Ray Serve LLM as it comes, in a Ray of its own

Two engines: `tiny`, a Llama of 2 million random weights on one core, where overhead is everything, and `paced`, which
makes a token each 10 ms and leaves the processor free, as it is beside a GPU (serving_paced.py). Every answer has
exactly as many tokens as were asked for, or the bench ends with what came instead.

A cell is a number of clients, streamed or not, and an answer's length. In each of its rounds every route takes one
turn with the same number of requests, in another order each round; a turn before the first round does not count.
Clients begin 1 ms after each other and ask again as soon as they are answered.
tokens/s: of each turn, tokens of its answers by its wall time; the median of the rounds. TTFT, and gaps between the
tokens of a stream (ITL): over all rounds. The clients are one process; the part of one core that it used is told.

Makes the model, brings its own plane up on free ports, one for each engine, and takes everything down again.
Usage: python -m scripts.bench.serving [--json] [--engine tiny|paced|both] [--clients 1,8,32,64] [--tokens 32,128]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from control.preflight import choose_port
from scripts.bench import serving_paced
from scripts.bench.serving_load import Answer, Route, Turn, chat_request, take_turn
from scripts.bench.serving_plane import ROOT, Broken, Plane, plane, server

ENGINES: Mapping[str, Mapping[str, str]] = {"tiny": {}, "paced": {serving_paced.HOOK: serving_paced.CLASS}}
"""What the plane's environment has to have besides its own."""
SETTINGS: Mapping[str, Any] = {"max_model_len": 512, "max_num_seqs": 64, "max_num_batched_tokens": 2048}
LEAST_REQUESTS = 4
"""Of one turn, however few clients there are."""
BARE, DIRECT, BIPLANE, RAY = "bare", "direct", "biplane", "ray"
progress = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(width=None if sys.stdout.isatty() else 160)
"""As wide as the tables where the output is a log or a pipe."""


@dataclass(frozen=True)
class Cell:
    engine: str
    clients: int
    stream: bool
    output_tokens: int


@dataclass(frozen=True)
class Figures:
    """One route's of one cell. Times in milliseconds, None where nothing is streamed; `cpu` of one core."""

    tokens_per_s: float
    ttft_ms_p50: float | None
    itl_ms_p99: float | None
    cpu: float

    @staticmethod
    def of(turns: Sequence[Turn], *, stream: bool) -> Figures:
        answers = [answer for turn in turns for answer in turn.answers]
        return Figures(
            tokens_per_s=median(turn.tokens_per_s for turn in turns),
            ttft_ms_p50=_quantile([answer.first for answer in answers], 50) if stream else None,
            itl_ms_p99=_quantile(_gaps(answers), 99) if stream else None,
            cpu=median(turn.cpu for turn in turns),
        )


Measured = tuple[Cell, Mapping[str, Figures]]


@dataclass(frozen=True)
class Bar:
    """What a figure must come to: `value` at least or at most `limit`. None: it says nothing of this cell."""

    engine: str
    clients: tuple[int, ...]
    what: str
    limit: float
    at_least: bool
    value: Callable[[Cell, Mapping[str, Figures]], float | None]

    def judge(self, cell: Cell, figures: Mapping[str, Figures]) -> Judgement | None:
        if cell.engine != self.engine or cell.clients not in self.clients:
            return None
        value = self.value(cell, figures)
        if value is None:
            return None
        met = value >= self.limit if self.at_least else value <= self.limit
        return Judgement(self.what, **asdict(cell), value=round(value, 3), limit=self.limit, met=met)


@dataclass(frozen=True)
class Judgement:
    bar: str
    engine: str
    clients: int
    stream: bool
    output_tokens: int
    value: float
    limit: float
    met: bool


def _speed(route: str, other: str, *, streamed: bool = True) -> Callable[[Cell, Mapping[str, Figures]], float | None]:
    def value(cell: Cell, figures: Mapping[str, Figures]) -> float | None:
        if other not in figures or (cell.stream and not streamed):
            return None
        return figures[route].tokens_per_s / figures[other].tokens_per_s

    return value


def _added_ttft(cell: Cell, figures: Mapping[str, Figures]) -> float | None:
    mine, theirs = figures[BIPLANE].ttft_ms_p50, figures[BARE].ttft_ms_p50
    return None if mine is None or theirs is None else mine - theirs


def _slower_itl(cell: Cell, figures: Mapping[str, Figures]) -> float | None:
    mine, theirs = figures[BIPLANE].itl_ms_p99, figures[BARE].itl_ms_p99
    return None if mine is None or theirs is None else mine / theirs


BARS = (
    Bar("tiny", (8, 32), "tokens/s, of direct", 0.95, True, _speed(BIPLANE, DIRECT)),
    Bar("tiny", (32,), "tokens/s, of bare, not streamed", 0.90, True, _speed(BIPLANE, BARE, streamed=False)),
    Bar("tiny", (8, 32), "tokens/s, of Ray Serve LLM as it comes", 1.8, True, _speed(BIPLANE, RAY)),
    Bar("paced", (8, 32), "tokens/s, of bare", 0.98, True, _speed(BIPLANE, BARE)),
    Bar("paced", (8, 32), "TTFT p50 above bare, ms", 5.0, False, _added_ttft),
    Bar("paced", (8, 32), "ITL p99, of bare", 1.1, False, _slower_itl),
)


async def measure(
    routes: Mapping[str, Route], model: str, cell: Cell, rounds: int, requests: int
) -> Mapping[str, Figures]:
    """`requests` a turn. Raises RuntimeError where an answer is not the wanted one."""
    asked = {name: chat_request(route, model, cell.output_tokens, stream=cell.stream) for name, route in routes.items()}
    turns: dict[str, list[Turn]] = {name: [] for name in routes}
    for number in range(-1, rounds):
        for name in rotated(list(routes), number):
            turn = await take_turn(
                routes[name],
                asked[name],
                cell.output_tokens,
                stream=cell.stream,
                clients=cell.clients,
                requests=requests,
            )
            if number >= 0:
                turns[name].append(turn)
    return {name: Figures.of(taken, stream=cell.stream) for name, taken in turns.items()}


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of the routes in one round: each is as often first, second and last as any other."""
    at = number % len(names)
    return [*names[at:], *names[:at]]


def row(cell: Cell, figures: Mapping[str, Figures]) -> dict[str, Any]:
    """A cell as JSON. The 50th and 99th percentiles are null where nothing was streamed."""
    return {
        **asdict(cell),
        **{f"{name}_tokens_per_s": round(one.tokens_per_s, 1) for name, one in figures.items()},
        **{f"{name}_ttft_ms_p50": _rounded(one.ttft_ms_p50) for name, one in figures.items() if name != DIRECT},
        **{f"{name}_itl_ms_p99": _rounded(one.itl_ms_p99) for name, one in figures.items() if name != DIRECT},
    }


def details(cell: Cell, figures: Mapping[str, Figures]) -> dict[str, Any]:
    """What `row` leaves out."""
    mine = figures[BIPLANE].tokens_per_s
    return {
        **asdict(cell),
        **{f"of_{name}": round(mine / one.tokens_per_s, 3) for name, one in figures.items() if name != BIPLANE},
        "direct_ttft_ms_p50": _rounded(figures[DIRECT].ttft_ms_p50) if DIRECT in figures else None,
        "direct_itl_ms_p99": _rounded(figures[DIRECT].itl_ms_p99) if DIRECT in figures else None,
        "client_cores": {name: round(one.cpu, 3) for name, one in figures.items()},
    }


def judged(measured: Sequence[Measured]) -> list[Judgement]:
    found = (bar.judge(cell, figures) for bar in BARS for cell, figures in measured)
    return [one for one in found if one is not None]


@contextmanager
def routes_of(engine: str, home: Path, directory: Path, *, peer: bool) -> Iterator[Mapping[str, Route]]:
    """Everything up and answering. Raises Broken."""
    with ExitStack() as stack:
        brought = stack.enter_context(plane(home / engine, ENGINES[engine], say))
        version = brought.register(engine, directory)
        settings = dict(SETTINGS)
        brought.apply(engine, model=engine, version=version, devices=1, replicas=1, engine=settings)
        began = time.monotonic()
        brought.wait_ready(engine, lambda reason: say(f"{engine}: {reason}"))
        say(f"{engine} serves after {time.monotonic() - began:.0f} s")
        routes = {
            BARE: stack.enter_context(_beside(engine, "vllm", brought, directory)),
            DIRECT: brought.direct(engine),
            BIPLANE: brought.gateway,
        }
        if peer and engine == "tiny":
            routes[RAY] = stack.enter_context(_beside(engine, "ray", brought, directory))
        yield routes


@contextmanager
def _beside(engine: str, which: str, brought: Plane, directory: Path) -> Iterator[Route]:
    port = choose_port(f"the {which} server", 0, "")
    named = [str(directory), "--model", engine, "--port", str(port)]
    words = (
        ["scripts.bench.serving_paced", *named]
        if engine == "paced"
        else ["scripts.bench.serving_bare", which, *named, "--engine", json.dumps(SETTINGS)]
    )
    name = f"{which}-{engine}"
    log = brought.home.logs / f"{name}.log"
    say(f"starting {name}; its output is in {log}")
    with server(name, words, log, {}, port) as route:
        yield route


def run(given: argparse.Namespace, home: Path, measured: list[Measured]) -> None:
    """Adds to `measured` as it goes, so that what is there stays when something breaks."""
    directory = given.model or made_model(home / "model")
    for engine in ENGINES if given.engine == "both" else (given.engine,):
        with routes_of(engine, home, directory, peer=given.peer) as routes:
            for tokens in given.tokens:
                for clients in given.clients:
                    for stream in (False, True):
                        cell = Cell(engine, clients, stream, tokens)
                        requests = max(LEAST_REQUESTS, given.requests * clients)
                        figures = uvloop.run(measure(routes, engine, cell, given.rounds, requests))
                        measured.append((cell, figures))
                        say(json.dumps(row(cell, figures)))


def made_model(directory: Path) -> Path:
    """In a process of its own: torch is 0.5 GB that the clients do without."""
    words = [sys.executable, "-m", "scripts.bench.serving_model", str(directory)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise Broken(f"the model was not made: {done.stderr[-2000:]}")
    return directory


def show(measured: Sequence[Measured]) -> None:
    columns = ("engine", "clients", "stream", "tokens", "route", "tokens/s", "biplane of it", "TTFT p50", "ITL p99")
    table = Table(*columns, "client cores", title="serving, medians of alternating turns; times in ms")
    for cell, figures in measured:
        mine = figures[BIPLANE].tokens_per_s
        for name, one in figures.items():
            of_it = "" if name == BIPLANE else f"{mine / one.tokens_per_s:.3f}"
            cells = (cell.engine, cell.clients, cell.stream, cell.output_tokens, name, f"{one.tokens_per_s:.1f}", of_it)
            times = ("" if ms is None else f"{ms:.1f}" for ms in (one.ttft_ms_p50, one.itl_ms_p99))
            table.add_row(*map(str, cells), *times, f"{one.cpu:.2f}", end_section=name == list(figures)[-1])
    out.print(table)
    bars = Table("bar", "engine", "clients", "stream", "tokens", "limit", "measured", "", title="bars")
    for bar in judged(measured):
        where = (bar.bar, bar.engine, bar.clients, bar.stream, bar.output_tokens, f"{bar.limit:g}", f"{bar.value:g}")
        bars.add_row(*map(str, where), "met" if bar.met else "[red]not met[/]")
    out.print(bars)


def _gaps(answers: Sequence[Answer]) -> list[float]:
    return [gap for answer in answers for gap in answer.gaps]


def _quantile(seconds: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(seconds, percent)) * 1000 if seconds else None


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 2)


def say(text: str) -> None:
    progress.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False)


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers of 1 or more, between commas. Raises ValueError."""
    found = tuple(int(part) for part in text.split(","))
    if min(found) < 1:
        raise ValueError(text)
    return found


@contextmanager
def home_of(given: Path | None) -> Iterator[Path]:
    """The directory that was asked for, or one that is thrown away unless something broke."""
    home = given or Path(tempfile.mkdtemp(prefix="biplane-serving."))
    say(f"state and logs are in {home}")
    yield home
    if given is None:
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.serving", description=__doc__, formatter_class=form)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--engine", choices=(*ENGINES, "both"), default="both")
    parser.add_argument("--clients", type=numbers, default=(1, 8, 32, 64), help="such as 8,32 (1,8,32,64)")
    parser.add_argument("--tokens", type=numbers, default=(32, 128), help="of an answer, such as 32 (32,128)")
    parser.add_argument("--requests", type=int, default=3, help="of each client in each turn (%(default)s)")
    parser.add_argument("--rounds", type=int, default=6, help="of each cell (%(default)s)")
    parser.add_argument("--peer", action="store_true", help="also Ray Serve LLM as it comes")
    parser.add_argument("--model", type=Path, help="a Hugging Face directory instead of the small model")
    parser.add_argument("--home", type=Path, help="where state and logs go, and stay; else a temporary directory")
    given = parser.parse_args()
    measured: list[Measured] = []
    broken = ""
    try:
        with home_of(given.home) as home:
            run(given, home, measured)
    except Exception as error:  # what was measured until then is shown
        broken = f"{type(error).__name__}: {error}"
        say(traceback.format_exc())
    if given.json:
        body = {
            "rows": [row(*one) for one in measured],
            "details": [details(*one) for one in measured],
            "bars": [asdict(one) for one in judged(measured)],
            "broken": broken,
            "definitions": __doc__,
        }
        print(json.dumps(body))
    else:
        show(measured)
    if broken:
        sys.exit(f"serving: {broken}")


if __name__ == "__main__":
    main()
