"""What a request through the AI gateway costs, beside the same request without it and through others, in one run.

  direct   straight to the upstream: what the clients and the upstream can do by themselves
  gateway  through a route with weighted backends, limits, budgets, triggers and metrics, with a client's key
  haproxy  HAProxy in front of the same upstream, two threads: the limit of any proxy
  echo     an application of two replicas on the plane's Ray Serve that answers the same 1 KB and asks nobody
  litellm  (--litellm) LiteLLM's proxy with a key, two workers, in front of the same upstream

The upstream is a process of its own with three doors: at once, 20 ms before the first byte, and 20 ms before the first
byte with 2 ms between events. An answer is 1 KB, or a stream of 200 chunks, each an event and a write of its own. Every
answer is compared byte for byte (LiteLLM, which writes it anew: its text), and after each turn the upstream is asked
whether it had as many requests as were answered. The clients are one process; it is told what part of a core they used.

Each figure comes from rounds in which every way takes one turn, in another order each round; a turn before the first
round and the first 0.3 s of each do not count. Clients ask again as soon as they are answered.
  *_rps_c64           answers a second to 64 clients, the median of the rounds
  p50_ms_c64, p99_*   how long these took through the gateway, over all rounds
  added_ms_*_c1       one client: the gateway's percentile less direct's, over all rounds
  chunks_per_s        of 64 streams, the median of the rounds; events_per_read is how many events a client's read had:
                      where the upstream is as fast as it can be, they come together
  added_ttft_ms_p50   time to the first content, one stream, upstream 20 ms; the gateway's less direct's
  slow_*              64 clients and one, not streamed, upstream 20 ms
  paced_*             64 streams with 2 ms between events, so that each event passes by itself
  cache_*_ms_p50      one client, answers that did not reach the upstream: to the same question, and to one that means
                      the same; null where routes take no `cache`
  memory_*            only where it is asked for (--only memory): 200,000 requests with 10,000 keys in turn and a flood
                      of bad ones; the most that a process has for itself after it is warm, over what it had then

Brings its own plane up on free ports and takes everything down again.
Usage: python -m scripts.bench.gateway [--json] [--litellm PYTHON] [--seconds 3] [--clients 64] [--only rps,added]
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from rich.table import Table

from scripts.bench import gateway_cache, gateway_memory
from scripts.bench.gateway_answer import CHUNKS, STREAM
from scripts.bench.gateway_load import Turn, milliseconds, take_turn
from scripts.bench.gateway_ways import (
    CACHED,
    DIRECT,
    ECHO,
    FAST,
    GATEWAY,
    HAPROXY,
    LITELLM,
    PACED,
    SLOW,
    Way,
    Ways,
    asked_of,
    everything,
)
from scripts.bench.serving import home_of, out, rotated, say
from scripts.bench.serving_load import chat_request
from scripts.bench.serving_plane import Plane

EVENTS = STREAM.count(b"data: ")
Told = dict[str, Any]
"""Figures as JSON."""


@dataclass(frozen=True)
class Bench:
    """What is up, and how it is measured."""

    plane: Plane
    ways: Ways
    clients: int
    seconds: float
    rounds: int
    requests: int
    keys: int

    async def turns(self, ways: Mapping[str, Way], clients: int, *, stream: bool = False) -> Mapping[str, list[Turn]]:
        """Raises RuntimeError where an answer is not the wanted one, or did not come from the upstream."""
        turns: dict[str, list[Turn]] = {name: [] for name in ways}
        for number in range(-1, self.rounds):
            for name in rotated(list(ways), number):
                turn = await _proven(ways[name], clients, self.seconds, stream=stream)
                if number >= 0:
                    turns[name].append(turn)
        return turns


async def _proven(way: Way, clients: int, seconds: float, *, stream: bool) -> Turn:
    before = asked_of(way.door)
    request = chat_request(way.route, way.model, CHUNKS, stream=stream)
    turn = await take_turn(way.route, request, way.checks[stream], stream=stream, clients=clients, seconds=seconds)
    if way.door is not None and (reached := asked_of(way.door) - before) != turn.asked:
        raise RuntimeError(f"{way.route.url}: {turn.asked} requests were answered, the upstream had {reached}")
    return turn


async def measure_rps(bench: Bench) -> Told:
    clients = bench.clients
    turns = await bench.turns(bench.ways[FAST], clients)
    took = [seconds for turn in turns[GATEWAY] for seconds in turn.took]
    peers = {
        f"{name}_rps_c{clients}": rps_of(turns.get(name, ())) for name in (GATEWAY, ECHO, HAPROXY, LITELLM, DIRECT)
    }
    return {
        **peers,
        f"p50_ms_c{clients}": milliseconds(took, 50),
        f"p99_ms_c{clients}": milliseconds(took, 99),
        "client_cores": {name: round(median(turn.cpu for turn in taken), 2) for name, taken in turns.items()},
    }


async def measure_added(bench: Bench) -> Told:
    return added_of(await bench.turns(_two(bench, FAST), 1), "")


async def measure_slow(bench: Bench) -> Told:
    clients, ways = bench.clients, _two(bench, SLOW)
    many = await bench.turns(ways, clients)
    took = [seconds for turn in many[GATEWAY] for seconds in turn.took]
    return {
        **{f"slow_{name}_rps_c{clients}": rps_of(turns) for name, turns in many.items()},
        f"slow_p50_ms_c{clients}": milliseconds(took, 50),
        f"slow_p99_ms_c{clients}": milliseconds(took, 99),
        **added_of(await bench.turns(ways, 1), "slow_"),
    }


async def measure_streams(bench: Bench) -> Told:
    turns = await bench.turns(_two(bench, FAST), bench.clients, stream=True)
    return streams_of(turns, "")


async def measure_paced(bench: Bench) -> Told:
    turns = await bench.turns(_two(bench, PACED), bench.clients, stream=True)
    return {**streams_of(turns, "paced_"), "paced_added_ttft_ms_p50": _added_ttft(turns)}


async def measure_ttft(bench: Bench) -> Told:
    return {"added_ttft_ms_p50": _added_ttft(await bench.turns(_two(bench, SLOW), 1, stream=True))}


async def measure_cache(bench: Bench) -> Told:
    if CACHED not in bench.ways:
        return {"cache_exact_ms_p50": None, "cache_semantic_ms_p50": None}
    way = bench.ways[CACHED][GATEWAY]
    assert way.door is not None
    return gateway_cache.measure(way.route, way.model, lambda: asked_of(way.door))


async def measure_memory(bench: Bench) -> Told:
    return await gateway_memory.measure(
        bench.plane, FAST, requests=bench.requests, keys=bench.keys, clients=bench.clients
    )


MEASURES: Mapping[str, Callable[[Bench], Coroutine[Any, Any, Told]]] = {
    "rps": measure_rps,
    "added": measure_added,
    "streams": measure_streams,
    "ttft": measure_ttft,
    "slow": measure_slow,
    "paced": measure_paced,
    "cache": measure_cache,
    "memory": measure_memory,
}
USUAL = tuple(name for name in MEASURES if name != "memory")  # it takes minutes, and its keys stay in the store


def rps_of(turns: Sequence[Turn]) -> float | None:
    """Answers a second, the median of the turns; None where there are none."""
    return round(median(turn.ended / turn.seconds for turn in turns), 1) if turns else None


def added_of(turns: Mapping[str, list[Turn]], prefix: str) -> Told:
    """What the gateway adds for one client, and direct's own figures."""
    told: Told = {}
    took = {name: [seconds for turn in taken for seconds in turn.took] for name, taken in turns.items()}
    for percent in (50, 99):
        mine, bare = (milliseconds(took[name], percent) for name in (GATEWAY, DIRECT))
        told[f"{prefix}added_ms_p{percent}_c1"] = round(mine - bare, 3)
        told[f"{prefix}direct_ms_p{percent}_c1"] = bare
    return told


def streams_of(turns: Mapping[str, list[Turn]], prefix: str) -> Told:
    """Chunks a second, and how many events clients got in one read: what came together was not passed on alone."""
    told: Told = {}
    for name, of in ((GATEWAY, prefix), (DIRECT, f"{prefix}direct_")):
        per_s = median(turn.events / turn.seconds for turn in turns[name]) * CHUNKS / EVENTS
        told[f"{of}chunks_per_s"] = round(per_s)
        told[f"{of}events_per_read"] = round(median(turn.events / turn.reads for turn in turns[name]), 2)
        told[f"{of}streams"] = sum(turn.ended for turn in turns[name])
    return told


def _added_ttft(turns: Mapping[str, list[Turn]]) -> float:
    mine, bare = (
        milliseconds([seconds for turn in turns[name] for seconds in turn.first], 50) for name in (GATEWAY, DIRECT)
    )
    return round(mine - bare, 3)


def _two(bench: Bench, pace: str) -> Mapping[str, Way]:
    return {name: bench.ways[pace][name] for name in (DIRECT, GATEWAY)}


def run(given: argparse.Namespace, home: Path, told: Told) -> None:
    """Adds to `told` as it goes, so that what is there stays when something breaks."""
    with everything(home, peers="rps" in given.only, python=given.litellm) as (brought, ways):
        bench = Bench(brought, ways, given.clients, given.seconds, given.rounds, given.requests, given.keys)
        for part in given.only:
            found = uvloop.run(MEASURES[part](bench))
            say(json.dumps(found))
            told.update(found)


def parts(text: str) -> tuple[str, ...]:
    """Parts of the bench, between commas. Raises ValueError."""
    found = tuple(text.split(","))
    if not set(found) <= set(MEASURES):
        raise ValueError(text)
    return found


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.gateway", description=__doc__, formatter_class=form)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--litellm", type=Path, metavar="PYTHON", help="the Python that has litellm[proxy]")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each figure (%(default)s)")
    parser.add_argument("--clients", type=int, default=64, help="at once (%(default)s)")
    parser.add_argument("--only", type=parts, default=USUAL, help=f"some of {','.join(MEASURES)}")
    parser.add_argument("--requests", type=int, default=200_000, help="of memory (%(default)s)")
    parser.add_argument("--keys", type=int, default=10_000, help="of memory (%(default)s)")
    parser.add_argument("--home", type=Path, help="where state and logs go, and stay; else a temporary directory")
    given = parser.parse_args()
    told: Told = {}
    broken = ""
    try:
        with home_of(given.home) as home:
            run(given, home, told)
    except Exception as error:  # what was measured until then is shown
        broken = f"{type(error).__name__}: {error}"
        say(traceback.format_exc())
    if given.json:
        method = {"rounds": given.rounds, "seconds": given.seconds, "definitions": __doc__}
        print(json.dumps({**told, "broken": broken, **method}))
    else:
        table = Table("figure", "measured", title=f"gateway, {given.rounds} rounds of {given.seconds:g} s")
        for name, value in told.items():
            table.add_row(name, str(value))
        out.print(table)
    if broken:
        sys.exit(f"gateway: {broken}")


if __name__ == "__main__":
    main()
