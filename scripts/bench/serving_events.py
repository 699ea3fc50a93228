"""What clients see while something happens to the replicas or the control plane, on live engines behind the gateway.

32 clients ask for streams of 32 tokens without a pause, SETTLE seconds before each event, through it, and SETTLE
seconds after it is over.

  rolling       other engine settings with strategy rolling, two replicas: until all traffic is on the new ones
  kill-replica  SIGKILL of one of two replica processes: until both serve again
  kill-control  SIGKILL of every control actor: until each has said something again
  sleep-wake    scaled to zero without traffic; then 32 clients at once: until the first answer. With what the
                replica said of the parts of its start
  canary        a good version in steps of 25, 50 and 100 %: from each decision (its event) to the first answer of the
                new version, and the split that clients saw from one second after it
  bad-errors    a version of which one answer in ten is an error, at 5 %: until it is rolled back
  bad-ttft      a version with twice the time to first token, at 5 %: until it is rolled back

The first four run on `--engine` (tiny, real vLLM, unless it is paced), the last three on the paced engine.
failed: requests without a whole answer that were not ended by an explicit error event, which are told apart.
longest_wait_s: to the first token, of all requests that began after the event; longest_gap_s: between two tokens.

Usage: python -m scripts.bench.serving_events [--json] [--only EVENT]... [--engine tiny|paced]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.table import Table

from control import engine_report, traffic
from control.kernel.ids import DOMAINS, AppName
from control.router.rollout_state import Event
from scripts.bench.serving import ENGINES, SETTINGS, home_of, made_model, out, say
from scripts.bench.serving_load import Load
from scripts.bench.serving_paced import BEHAVIOUR
from scripts.bench.serving_plane import Broken, Plane, plane
from scripts.bench.serving_seen import Told, split_after, summary

CLIENTS, TOKENS = 32, 32
SETTLE = 8.0
EVENT_SECONDS = 600.0
OTHER_SETTINGS: Mapping[str, Any] = {**SETTINGS, "max_num_batched_tokens": 1024}
CANARY_STEPS, CANARY_HOLD, BAD_STEPS = (25, 50, 100), 10, (5, 100)
BEHAVIOURS: Mapping[str, Mapping[str, float]] = {
    "stable": {},
    "canary": {"first_ms": 10.0},
    "bad-errors": {"fails": 0.1},
    "bad-ttft": {"first_ms": 20.0},
}
"""The versions of the paced model, in the order in which they are registered."""
STEPPED, SWITCHED, PROMOTED, ROLLED_BACK = (
    Event.STEPPED.value,
    Event.SWITCHED.value,
    Event.PROMOTED.value,
    Event.ROLLED_BACK.value,
)


@dataclass
class Scene:
    """A deployment that is ready, on a plane of its own, and who asks it."""

    plane: Plane
    name: str
    versions: Mapping[str, int]
    load: Load

    def begin(self, replicas: int) -> None:
        """So many replicas of the stable version, whatever was before. Raises Broken, SpecError."""
        self.apply(force=True, replicas=replicas)
        self.plane.wait_ready(self.name, self._say)
        self.plane.wait_for(
            lambda: len(self.living()) == self.serving() == replicas,
            EVENT_SECONDS,
            f"{replicas} replicas and their reports",
            lambda: (sorted(self.living()), self.status()),
        )

    def apply(self, version: str = "stable", *, force: bool = False, **spec: Any) -> None:
        given = {"devices": 1, "engine": dict(SETTINGS), **spec}
        self.plane.apply(self.name, force=force, model=self.name, version=self.versions[version], **given)

    async def ready(self) -> None:
        await asyncio.to_thread(self.plane.wait_ready, self.name, self._say)

    def _say(self, reason: str) -> None:
        say(f"{self.name}: {reason}")

    async def until(self, holds: Callable[[], bool], what: str, found: Callable[[], object] = lambda: "") -> float:
        """Seconds until it holds. Raises Broken."""
        return await asyncio.to_thread(self.plane.wait_for, holds, EVENT_SECONDS, what, found)

    def status(self) -> Mapping[str, Any]:
        return self.plane.deployment(self.name).status

    def serving(self) -> int:
        """Replicas that the table names for it."""
        return sum(len(arm["replicas"]) for arm in self.status().get("arms", ()))

    def reports(self) -> dict[str, tuple[engine_report.EngineReport, float]]:
        """What its replicas said last and when, by application."""
        found = {}
        for beat in self.plane.client.store.heartbeats(engine_report.BEAT_PREFIX):
            app = beat.actor.removeprefix(engine_report.BEAT_PREFIX)
            named = AppName.parse(app)
            if named is not None and named.deployment == self.name:
                found[app] = engine_report.parse(beat.body), beat.at
        return found

    def living(self) -> dict[str, engine_report.EngineReport]:
        """Of those, the ones that take requests and have not fallen silent."""
        now = time.time()
        return {
            app: report
            for app, (report, at) in self.reports().items()
            if report.accepts and now - at < engine_report.STALE_SECONDS
        }

    def requests_of(self, version: int) -> int:
        """How many requests the gateways counted for a version."""
        counted = 0
        for beat in self.plane.client.store.heartbeats(traffic.BEAT_PREFIX):
            for app, seen in traffic.parse(beat.body).items():
                named = AppName.parse(app)
                if named is not None and (named.deployment, named.version) == (self.name, version):
                    counted += seen.requests
        return counted

    def happened(self, after: int) -> list[tuple[str, float, str]]:
        """Name, time and reason of its events that came later than number `after`."""
        events = self.plane.client.events("Deployment", self.name, after=after, limit=1000)
        return [(one.event, one.at, one.reason) for one in events]

    def last_event(self) -> int:
        found = self.plane.client.events("Deployment", self.name, limit=1)
        return found[-1].seq if found else 0


Happening = Callable[[Scene], Awaitable[Told]]


async def rolling(scene: Scene) -> Told:
    before = set(scene.living())
    scene.apply(replicas=2, engine=dict(OTHER_SETTINGS), rollout={"strategy": "rolling"})
    await scene.ready()
    recovered = await scene.until(
        lambda: scene.serving() == 2 and not before & set(scene.living()),
        "two new replicas and no old one",
        lambda: (sorted(before), sorted(scene.living()), scene.status().get("reason")),
    )
    return {"waited_on_after_ready_s": round(recovered, 2)}


def sigkill(who: str, pid: int) -> None:
    """Raises Broken where that is no process of its own: 0 would be all that started with us."""
    if pid <= 1:
        raise Broken(f"{who} names process {pid} as its own")
    os.kill(pid, signal.SIGKILL)


async def kill_replica(scene: Scene) -> Told:
    app, report = min(scene.living().items())
    sigkill(app, report.pid)
    say(f"{app}: killed process {report.pid}")

    def again() -> bool:
        living = scene.living()
        pids = {one.pid for one in living.values()}
        return len(living) >= 2 and report.pid not in pids and scene.serving() == 2

    await scene.until(again, "two replicas, the killed one replaced", lambda: (scene.living(), scene.status()))
    replaced = next((one for name, one in scene.living().items() if name == app), None)
    return {"killed": app, "started_s": dict(replaced.started_s) if replaced else {}}


async def kill_control(scene: Scene) -> Told:
    def pids() -> dict[str, int]:
        beats = scene.plane.client.store.heartbeats()
        return {beat.actor: beat.body["pid"] for beat in beats if beat.actor in DOMAINS}

    before = pids()
    if set(before) != set(DOMAINS):
        raise Broken(f"control actors that said something: {sorted(before)}; expected {sorted(DOMAINS)}")
    for actor, pid in before.items():
        sigkill(actor, pid)
    say(f"killed control actors {before}")
    await scene.until(
        lambda: not set(before.values()) & set(pids().values()), "every control actor's next word", lambda: pids()
    )
    return {"killed": sorted(before)}


async def sleep_wake(scene: Scene) -> Told:
    """The load ends, so that it can fall asleep, and begins again as a chorus."""
    await scene.load.stop()
    scene.apply(autoscaling={"min": 0, "max": 2, "idle": 5, "down_after": 5, "wake": 300})
    began = time.perf_counter()
    await scene.until(
        lambda: not scene.serving() and not scene.living(),
        "no replica",
        lambda: (scene.status().get("phase"), scene.status().get("reason"), sorted(scene.living())),
    )
    asleep = time.perf_counter() - began
    say(f"{scene.name} sleeps after {asleep:.0f} s")
    woken = time.perf_counter()
    scene.load.start()
    await scene.until(
        lambda: any(answer.began >= woken and not answer.trouble for answer in scene.load.answers),
        "the first answer after the wake",
        lambda: [answer.trouble for answer in scene.load.answers[-3:]],
    )
    first = min(a.began + a.first for a in scene.load.answers if a.began >= woken and not a.trouble)
    parts = [dict(report.started_s) for report in scene.living().values()]
    return {"asleep_after_s": round(asleep, 1), "woke_in_s": round(first - woken, 2), "started_s": parts}


async def canary(scene: Scene) -> Told:
    after, version = scene.last_event(), str(scene.versions["canary"])
    rollout = {"strategy": "canary", "steps": list(CANARY_STEPS), "hold": CANARY_HOLD, "least_requests": 0}
    scene.apply("canary", rollout=rollout)
    await _ends(scene, after, PROMOTED, ROLLED_BACK)
    await asyncio.sleep(SETTLE)
    offset, moves = time.time() - time.perf_counter(), (STEPPED, SWITCHED, PROMOTED)
    moved = [(event, at - offset, why) for event, at, why in scene.happened(after) if event in moves]
    ends = [at for _, at, _ in moved[1:]] + [time.perf_counter()]
    return {
        "steps": [
            {"decided": why, **split_after(scene.load.answers, version, at, end)}
            for (_, at, why), end in zip(moved, ends, strict=True)
        ],
        "ended": scene.status().get("reason"),
    }


def bad(version: str) -> Happening:
    async def injected(scene: Scene) -> Told:
        after, number = scene.last_event(), scene.versions[version]
        steps = {"strategy": "canary", "steps": list(BAD_STEPS), "hold": EVENT_SECONDS}
        scene.apply(version, rollout=steps)
        await _ends(scene, after, ROLLED_BACK, PROMOTED)
        await asyncio.sleep(2.0)  # gateways count once a second
        happened = scene.happened(after)
        begun = next((at for event, at, _ in happened if event == STEPPED), None)
        back = next(((at, why) for event, at, why in happened if event == ROLLED_BACK), None)
        seen = [answer for answer in scene.load.answers if answer.version == str(number)]
        requests = scene.requests_of(number)
        seconds = back[0] - begun if back and begun else None
        return {
            "rolled_back": back is not None,
            "reason": back[1] if back else [why for *_, why in happened],
            "seconds_at_5_percent": None if seconds is None else round(seconds, 1),
            "its_requests": requests,
            "its_answers_seen": len(seen),
            "met": back is not None and (requests <= 200 or (seconds is not None and seconds <= 30)),
        }

    return injected


async def _ends(scene: Scene, after: int, *names: str) -> None:
    await scene.until(
        lambda: any(event in names for event, *_ in scene.happened(after)),
        f"one of the events {', '.join(names)}",
        lambda: (scene.status().get("reason"), scene.status().get("analysis"), scene.happened(after)[-5:]),
    )


EVENTS: Mapping[str, tuple[str, Happening]] = {
    "rolling": ("", rolling),
    "kill-replica": ("", kill_replica),
    "kill-control": ("", kill_control),
    "sleep-wake": ("", sleep_wake),
    "canary": ("paced", canary),
    "bad-errors": ("paced", bad("bad-errors")),
    "bad-ttft": ("paced", bad("bad-ttft")),
}
"""The engine that an event needs, empty for any, and what happens."""


async def under_load(name: str, happening: Happening, scene: Scene) -> Told:
    """What clients saw. What broke is told with what there is until then."""
    load, broken, extra = scene.load, "", {}
    load.answers.clear()
    load.start()
    await asyncio.sleep(SETTLE)
    happens = time.perf_counter()
    say(f"{name} after {len(load.answers)} requests")
    try:
        extra = await happening(scene)
    except Exception as error:  # the other events are still to be measured
        broken = f"{type(error).__name__}: {error}"
        say(f"{name}: {traceback.format_exc()}")
    over = time.perf_counter()
    await asyncio.sleep(SETTLE)
    await load.stop()
    return {"event": name, **summary(load.answers, happens, over), "broken": broken, **extra}


def behaving(model: Path, directory: Path, behaviour: Mapping[str, float]) -> Path:
    """The same model as another version, which the paced engine serves so."""
    shutil.copytree(model, directory, dirs_exist_ok=True)
    (directory / BEHAVIOUR).write_text(json.dumps(behaviour))
    return directory


def scenes(engine: str, names: Sequence[str], home: Path, results: list[Told]) -> None:
    """The events of one engine on one plane; each begins with as many stable replicas as it needs."""
    directory = made_model(home / "model")
    behaviours = BEHAVIOURS if engine == "paced" else {"stable": {}}
    with ExitStack() as stack:
        brought = stack.enter_context(plane(home / engine, ENGINES[engine], say))
        versions = {
            version: brought.register(engine, behaving(directory, home / f"{engine}-{version}", behaviour))
            for version, behaviour in behaviours.items()
        }
        load = Load(brought.gateway, engine, TOKENS, CLIENTS)
        scene = Scene(brought, engine, versions, load)
        for name in names:
            needed, happening = EVENTS[name]
            replicas = 1 if needed == "paced" else 2
            try:
                scene.begin(replicas)
            except Exception as error:  # another event may find it well again
                results.append({"engine": engine, "event": name, "broken": f"before it: {error}"})
                say(f"{name}: {traceback.format_exc()}")
                continue
            told = uvloop.run(under_load(name, happening, scene))
            results.append({"engine": engine, **told})
            say(json.dumps(results[-1], default=str))


def show(results: Sequence[Told]) -> None:
    plain = [name for name, value in results[0].items() if not isinstance(value, dict | list)] if results else []
    shared = [name for name in plain if all(name in one for one in results)]
    table = Table("", *(f"{one['event']}\n({one['engine']})" for one in results), title="events under 32 clients")
    for name in shared:
        if name not in ("engine", "event", "broken"):
            table.add_row(name, *(str(one[name]) for one in results))
    out.print(table)
    for one in results:
        rest = {name: value for name, value in one.items() if name not in shared or name == "broken"}
        out.print(f"{one['event']}: {json.dumps(rest, default=str)}", markup=False, soft_wrap=True)


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench.serving_events", description=__doc__, formatter_class=form
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", choices=EVENTS, action="append", help="may be given again")
    parser.add_argument("--engine", choices=ENGINES, default="tiny", help="of the first four events")
    parser.add_argument("--home", type=Path, help="where state and logs go, and stay; else a temporary directory")
    given = parser.parse_args()
    chosen = {name: EVENTS[name][0] or given.engine for name in given.only or EVENTS}
    results: list[Told] = []
    broken = ""
    with home_of(given.home) as home:
        for engine in dict.fromkeys(chosen.values()):
            try:
                scenes(engine, [name for name in chosen if chosen[name] == engine], home, results)
            except Exception as error:  # the other engine's events are still to be measured
                broken += f"{engine}: {type(error).__name__}: {error}; "
                say(f"{engine}: {traceback.format_exc()}")
        if given.json:
            print(json.dumps({"events": results, "broken": broken, "definitions": __doc__}, default=str))
        else:
            show(results)
        if broken or any(one["broken"] for one in results):
            sys.exit(f"serving_events: {broken or 'not every event was measured'}")


if __name__ == "__main__":
    main()
