"""Whether memory stays flat: many keys in turn, each with limits of its own, and a flood of keys that are none.

Looked at is the memory that a process has for itself (USS) in each gateway replica, in the ledger and in gateway
control. It is warm after a fifth of the requests, but not sooner than the ledger, which remembers for a minute what it
lent. Growth is the most that was seen after that, over what was seen then. Requests come at an even pace, or as fast as
they are answered where that is slower.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import psutil

from control.accounts import LEASE_SECONDS, MINUTE_SECONDS
from control.gateway.ledger.ledger import SWEEP_SECONDS
from control.kernel.ids import API_KEY_KIND, GATEWAY_APP
from control.kernel.plan import Create
from control.kernel.recover import processes_of
from control.keys import API_KEY_PREFIX, new_api_key
from control.specs.api_key import ApiKey
from scripts.bench.gateway_answer import CHUNKS, WHOLE
from scripts.bench.gateway_load import LONGEST_SECONDS
from scripts.bench.gateway_ways import ANSWERS_IN_A_ROW
from scripts.bench.serving_load import chat_request, undisturbed
from scripts.bench.serving_plane import CHAT, Plane

ORGANIZATIONS = 100
BATCH = 1000
"""Keys that are stored in one transaction."""
KNOWN_SECONDS = 10.0
BAD_SHARE = 0.2
SEED = 5
PER_S = 800.0
"""Requests: an even pace, as the ledger's memory goes with how many were lent to within the last minute."""
WARM_SHARE = 0.2
WARM_SECONDS = MINUTE_SECONDS + LEASE_SECONDS + SWEEP_SECONDS
SAMPLE_SECONDS = 2.0
SHOWN_SAMPLES = 40
REPLICA, LEDGER = "ray::ServeReplica:gateway", "ray::LedgerActor"
"""How the titles of their processes begin."""
_KEY = "KEY"
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)\r\n", re.IGNORECASE)


@dataclass
class Curve:
    """What one process had for itself, in MiB, at each sample; `warm` samples came before it was warm."""

    process: psutil.Process
    mib: list[float] = field(default_factory=list)
    warm: int = 0

    def take(self, *, warm: bool) -> None:
        """Raises psutil.NoSuchProcess where the process ended meanwhile."""
        self.mib.append(round(self.process.memory_full_info().uss / 2**20, 1))
        self.warm += not warm

    def growth_percent(self) -> float:
        """Raises ValueError where nothing was seen after it was warm."""
        if not 0 < self.warm < len(self.mib):
            raise ValueError(
                f"{len(self.mib)} samples, the requests ended before it was warm; expected more --requests"
            )
        return round(100 * (max(self.mib[self.warm :]) / self.mib[self.warm - 1] - 1), 1)


def keys_of(count: int) -> Iterator[tuple[str, Create]]:
    """Secrets, and the records that make them keys."""
    for number in range(count):
        secret, digest = new_api_key()
        spec = ApiKey(organization=f"org-{number % ORGANIZATIONS}", sha256=digest).model_dump(mode="json")
        yield secret, Create(kind=API_KEY_KIND, name=f"bench-{number}", event="Created", reason="the bench", spec=spec)


def asked_with(secrets: Sequence[str], requests: int) -> Iterator[tuple[str, bool]]:
    """Of each request its key, and whether it is good: the secrets in turn, among them random ones that are none."""
    drawn, good = random.Random(SEED), itertools.cycle(secrets)
    for _ in range(requests):
        if drawn.random() < BAD_SHARE:
            yield f"{API_KEY_PREFIX}{drawn.getrandbits(256):064x}", False
        else:
            yield next(good), True


async def measure(brought: Plane, model: str, *, requests: int, keys: int, clients: int) -> dict[str, Any]:
    """Raises RuntimeError where an answer is not the wanted one."""
    secrets = await asyncio.to_thread(_stored, brought, keys)
    before, after = chat_request(replace(brought.gateway, key=_KEY), model, CHUNKS, stream=False).split(_KEY.encode())
    jobs = enumerate(asked_with(secrets, requests), 1)
    began, asked = time.perf_counter(), 0

    async def client() -> None:
        nonlocal asked
        reader, writer = await asyncio.open_connection(*brought.gateway.address)
        for number, (key, good) in jobs:
            await asyncio.sleep(began + number / PER_S - time.perf_counter())
            writer.write(before + key.encode() + after)
            async with asyncio.timeout(LONGEST_SECONDS):
                status, body = await _answer(reader)
            if (status, body == WHOLE) != ((200, True) if good else (401, False)):
                raise RuntimeError(f"{brought.gateway.url}: {'a' if good else 'no'} key: {status} {body[:300]!r}")
            asked = max(asked, number)
        writer.close()

    with undisturbed():
        curves = {name: Curve(process) for name, process in _watched(brought).items()}
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(client()) for _ in range(clients)]
            while not all(task.done() for task in asking):
                await asyncio.sleep(SAMPLE_SECONDS)
                warm = asked >= WARM_SHARE * requests and time.perf_counter() - began >= WARM_SECONDS
                for curve in curves.values():
                    curve.take(warm=warm)
        seconds = time.perf_counter() - began
    return told(curves, asked / seconds)


def told(curves: Mapping[str, Curve], per_s: float) -> dict[str, Any]:
    """`per_s` is how many requests were answered a second. Raises ValueError where there were too few to be warm."""
    growth = {name: curve.growth_percent() for name, curve in curves.items()}
    return {
        "memory_growth_percent": max(growth.values()),
        "memory_growth_percent_of": growth,
        "memory_mib_of": {name: curve.mib[:: -(-len(curve.mib) // SHOWN_SAMPLES)] for name, curve in curves.items()},
        "memory_rps": round(per_s, 1),
    }


def _stored(brought: Plane, count: int) -> list[str]:
    """The secrets of new keys, when the gateway takes the last of them. Raises Broken."""
    made = list(keys_of(count))
    for first in range(0, count, BATCH):
        brought.client.commit(*(record for _, record in made[first : first + BATCH]))
    models = brought.gateway.url.replace(CHAT, "/v1/models")

    def is_known() -> bool:
        """By every replica: each connection is to one of them."""
        headers = {"Authorization": f"Bearer {made[-1][0]}"}
        return all(httpx.get(models, headers=headers, trust_env=False).is_success for _ in range(ANSWERS_IN_A_ROW))

    brought.wait_for(is_known, KNOWN_SECONDS, "the gateway to know the keys")
    return [secret for secret, _ in made]


def _watched(brought: Plane) -> dict[str, psutil.Process]:
    """Gateway replicas, the ledger and gateway control, by name."""
    (control,) = (beat for beat in brought.client.store.heartbeats(GATEWAY_APP) if beat.actor == GATEWAY_APP)
    found = {"control": psutil.Process(control.body["pid"])}
    for process in processes_of(brought.home.plane_id):
        title = " ".join(process.cmdline())
        if title.startswith(LEDGER):
            found["ledger"] = process
        elif title.startswith(REPLICA):
            found[f"replica-{process.pid}"] = process
    return found


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body. Raises OSError, or asyncio.IncompleteReadError where the connection ends before."""
    head = await reader.readuntil(b"\r\n\r\n")
    sized = _LENGTH.search(head)
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(sized[1])) if sized else b""
