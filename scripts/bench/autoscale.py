"""A day of traffic on simulated engines under our policy (the live decision code), Ray Serve's and a fixed number.

The day has quiet nights, a morning ramp, a busy afternoon, at 15:00 ten minutes of three times as much from one second
to the next, and at 20:00 an hour that rises fourfold within two minutes and falls as fast. An engine runs 16 requests
at once as long as its KV cache has room (a request takes its tokens of it until it ends), a request takes 6 s of it on
average (lognormal, sigma 0.6), its first token 80 ms after it began; a replica loads for 60 s and drains before it
ends. Requests go to the replica with the fewest. Policies look once a second and may have 1 to 12 replicas; all begin
with 6 at 14:00 and get the same requests.

  biplane      AutoscalingSpec(min=1, max=12), ttft_ms 1000, all other settings as they come
  biplane_7.5  the same with ongoing=7.5: half of what an engine runs at once, room for a burst
  ray          Ray Serve's default policy with all settings as they come: 2 ongoing requests a replica
  ray_6        the same with 6 ongoing requests a replica, which takes about as many replica hours as biplane_7.5
  ray_10       the same with 10, which takes about as many as biplane
  ray_12.8     the same with 12.8, four fifths of what an engine runs at once, at which biplane aims as it comes
  fixed        12 replicas, always

Ray's rule as in ray/serve/autoscaling_policy.py and config.py of 2.60: desired = ceil(ongoing / target), ongoing being
the mean of 30 s; up after 30 s of wanting more, down after 600 s of wanting less, each time to what is wanted then;
at least one replica.

`missed` is the share of requests whose first token took over a second, `late_s` the worst; `replica_hours` count from
the order to load until drained; `utilization` is how many of the slots ran a request; `flaps` are changes less than
15 minutes after one the other way.

Usage: python -m scripts.bench.autoscale [--json] [--seed S] [--hours H]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from math import ceil

import numpy as np
from rich.console import Console
from rich.table import Table

from control.engine_report import EngineReport
from control.router.autoscale import scale
from control.router.autoscale_state import Scale, ScaleLook
from control.specs.autoscaling import AutoscalingSpec
from control.specs.sla import Sla
from control.traffic import Traffic, bucket

SLOTS, KV_TOKENS, MEAN_SECONDS, FIRST_TOKEN = 16, 24_000, 6.0, 0.08
LOAD_SECONDS, FIRST, MOST, TTFT = 60.0, 6, 12, 1.0
RECENT_SECONDS = 30
FLAP_SECONDS = 900
HOURS_RATES = ((0, 0.3), (5, 0.3), (9, 8.0), (12, 10.0), (14, 9.0), (18, 6.0), (22, 2.0), (24, 0.3))
"""Requests a second at an hour of the day; in between on a straight line."""


@dataclass(frozen=True)
class Requests:
    """In the order in which they come: when (s), how long they run (s), how many tokens of KV cache they take."""

    came: list[float]
    runs: list[float]
    tokens: list[int]


def requests_of(seed: int, hours: float) -> Requests:
    """The first `hours` after 14:00 of the day; all 24 are the day."""
    rng = np.random.default_rng(seed)
    second = np.arange(int(3600 * hours))
    clock = (second / 3600 + 14) % 24
    rate = np.interp(clock, [hour for hour, _ in HOURS_RATES], [rate for _, rate in HOURS_RATES])
    rate *= np.where((clock >= 15) & (clock < 15 + 1 / 6), 3.0, 1.0)
    rate *= 1 + 3 * np.clip(np.minimum(clock - 20, 21 - clock) * 30, 0, 1)
    counts = rng.poisson(rate)
    came = np.sort(np.repeat(second, counts) + rng.random(counts.sum()))
    runs = rng.lognormal(np.log(MEAN_SECONDS) - 0.18, 0.6, len(came))
    tokens = np.minimum(8192, 300 + 120 * runs * rng.lognormal(0.0, 0.3, len(came))).astype(int)
    return Requests(came.tolist(), runs.tolist(), tokens.tolist())


@dataclass
class Engine:
    number: int
    serves_at: float
    running: int = 0
    tokens: int = 0
    finished: int = 0
    waiting: deque[int] = field(default_factory=deque)

    @property
    def busy(self) -> int:
        return self.running + len(self.waiting)

    @property
    def report(self) -> EngineReport:
        return EngineReport(
            url=f"http://{self.number}",
            running=self.running,
            waiting=len(self.waiting),
            kv_usage=self.tokens / KV_TOKENS,
            kv_tokens=KV_TOKENS,
            most_running=SLOTS,
            requests=self.finished,
        )


class World:
    """Engines and requests; `step` goes on by a second, in which nobody looks."""

    def __init__(self, requests: Requests, replicas: int) -> None:
        self.requests, self.now, self.next = requests, 0.0, 0
        self.engines = [Engine(number, 0.0) for number in range(replicas)]
        self.draining: list[Engine] = []
        self.made = replicas
        self.ends: list[tuple[float, int, Engine]] = []
        self.first = [0.0] * len(requests.came)
        self.replica_seconds, self.slot_seconds = 0.0, 0.0
        self.ended: deque[Counter[int]] = deque([Counter() for _ in range(RECENT_SECONDS)])
        self.recent: Counter[int] = Counter()
        self.ongoing: deque[int] = deque(maxlen=RECENT_SECONDS)

    @property
    def serving(self) -> list[Engine]:
        return [engine for engine in self.engines if engine.serves_at <= self.now]

    def step(self) -> None:
        until, came = self.now + 1, self.requests.came
        self.ended.append(Counter())
        while self.next < len(came) and came[self.next] < until:
            self._finish(came[self.next])
            engine = min(self.serving, key=lambda one: (one.busy, one.running))
            engine.waiting.append(self.next)
            self._admit(engine, came[self.next])
            self.next += 1
        self._finish(until)
        self.now = until
        self.recent.update(self.ended[-1])
        self.recent.subtract(self.ended.popleft())
        self.draining = [engine for engine in self.draining if engine.busy]
        self.replica_seconds += len(self.engines) + len(self.draining)
        self.slot_seconds += sum(engine.running for engine in (*self.engines, *self.draining))
        self.ongoing.append(sum(engine.busy for engine in (*self.engines, *self.draining)))

    def _finish(self, until: float) -> None:
        while self.ends and self.ends[0][0] <= until:
            at, request, engine = heappop(self.ends)
            engine.running -= 1
            engine.tokens -= self.requests.tokens[request]
            engine.finished += 1
            self.ended[-1][bucket(1000 * self.first[request])] += 1
            self._admit(engine, at)

    def _admit(self, engine: Engine, now: float) -> None:
        while engine.waiting and engine.running < SLOTS:
            request = engine.waiting[0]
            if engine.tokens + self.requests.tokens[request] > KV_TOKENS:
                return
            engine.waiting.popleft()
            engine.running += 1
            engine.tokens += self.requests.tokens[request]
            self.first[request] = now - self.requests.came[request] + FIRST_TOKEN
            heappush(self.ends, (now + self.requests.runs[request], request, engine))

    def set_to(self, replicas: int) -> None:
        """Those that load still are the first to go; a replica that has ended its requests is gone."""
        while len(self.engines) < replicas:
            self.engines.append(Engine(self.made, self.now + LOAD_SECONDS))
            self.made += 1
        self.engines.sort(key=lambda engine: (engine.serves_at > self.now, engine.number))
        self.draining += self.engines[replicas:]
        del self.engines[replicas:]


Policy = Callable[[World], int]


def biplane(ongoing: float | None) -> Policy:
    spec, sla = AutoscalingSpec(min=1, max=MOST, ongoing=ongoing), Sla(ttft_ms=1000 * TTFT)
    state = Scale(needed=FIRST)

    def decide(world: World) -> int:
        nonlocal state
        ttft = +world.recent
        serving = world.serving
        look = ScaleLook(
            world.now,
            spec,
            sla,
            len(serving),
            tuple(engine.report for engine in serving),
            Traffic(ttft.total(), 0, ttft),
        )
        state = scale(state, look)
        return state.replicas

    return decide


def ray(target: float) -> Policy:
    """Ray Serve's default policy, with its default delays."""
    up_delay, down_delay = 30.0, 600.0
    since: float | None = None
    rising = False

    def decide(world: World) -> int:
        nonlocal since, rising
        now_wanted = len(world.engines)
        desired = min(MOST, max(1, ceil(sum(world.ongoing) / len(world.ongoing) / target)))
        if desired == now_wanted or rising != (desired > now_wanted):
            since = None
        if desired == now_wanted:
            return now_wanted
        rising = desired > now_wanted
        since = world.now if since is None else since
        if world.now - since < (up_delay if rising else down_delay):
            return now_wanted
        since = None
        return desired

    return decide


POLICIES: Mapping[str, Callable[[], Policy]] = {
    "biplane": lambda: biplane(None),
    "biplane_7.5": lambda: biplane(7.5),
    "ray": lambda: ray(2.0),
    "ray_6": lambda: ray(6.0),
    "ray_10": lambda: ray(10.0),
    "ray_12.8": lambda: ray(0.8 * SLOTS),
    "fixed": lambda: lambda _: MOST,
}


def measure(policy: str, requests: Requests) -> dict[str, float | str]:
    began, decide = time.perf_counter(), POLICIES[policy]()
    world = World(requests, MOST if policy == "fixed" else FIRST)
    changes: list[tuple[float, int]] = []
    while world.next < len(requests.came) or world.ends:
        world.step()
        before, wanted = len(world.engines), decide(world)
        if wanted != before:
            changes.append((world.now, wanted - before))
            world.set_to(wanted)
    first = np.array(world.first)
    flaps = sum(
        later[1] * earlier[1] < 0 and later[0] - earlier[0] < FLAP_SECONDS for earlier, later in pairwise(changes)
    )
    return {
        "policy": policy,
        "requests": len(first),
        "missed": round(float((first > TTFT).mean()), 5),
        "ttft_p99_s": round(float(np.quantile(first, 0.99)), 2),
        "late_s": round(float(first.max()), 1),
        "replica_hours": round(world.replica_seconds / 3600, 1),
        "utilization": round(world.slot_seconds / SLOTS / world.replica_seconds, 3),
        "changes": len(changes),
        "flaps": flaps,
        "took_s": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench.autoscale", description=__doc__, formatter_class=form
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=24.0, help="of the day, from 14:00 on (%(default)s)")
    given = parser.parse_args()
    requests = requests_of(given.seed, given.hours)
    rows = [measure(policy, requests) for policy in POLICIES]
    if given.json:
        print(json.dumps({"seed": given.seed, "hours": given.hours, "rows": rows, "definitions": __doc__}))
        return
    table = Table("", *(str(row["policy"]) for row in rows), title=f"{given.hours:g} h of traffic, seed {given.seed}")
    for name in list(rows[0])[1:]:
        table.add_row(name, *(str(row[name]) for row in rows))
    Console().print(table)


if __name__ == "__main__":
    main()
