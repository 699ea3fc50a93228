"""Backends that are not well, or that nobody asked for a while, are asked whether they are there.

Each replica probes for itself. Nothing is stored; a crash costs a probe.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import random
from time import monotonic

from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.breaker import State
from serve_apps.gateway.backends.outgoing import credentials
from serve_apps.gateway.secret import Secrets
from serve_apps.gateway.table import BackendSpec
from serve_apps.gateway.wire import Wires, locate

LOOK_SECONDS = 0.5
SPREAD = 0.25
"""Of a period: so much sooner than it some probes are sent, lest those of all replicas come together."""
PATH = "/v1/models"
"""Costs nothing, needs the key, and is the same in both dialects."""
DENIED = (401, 403)
"""What a key is answered that may do no more than ask models: no word of the backend's health."""


@dataclass(frozen=True, slots=True)
class Probing:
    """Seconds from one probe of a backend to the next: of one that is `ill`, or of which nobody has heard yet, and of
    one that is `idle`, counted from its last request. A probe is waited for `timeout_s`.
    """

    ill_s: float = 5.0
    idle_s: float = 30.0
    timeout_s: float = 5.0


class Probes:
    """`backends` are those to probe, which may be replaced."""

    def __init__(self, wires: Wires, secrets: Secrets, probing: Probing) -> None:
        self.backends: Mapping[Backend, BackendSpec] = {}
        self._wires = wires
        self._secrets = secrets
        self._probing = probing
        self._last: dict[Backend, tuple[float, float]] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self._probing.ill_s))
            now = monotonic()
            self._last = {backend: self._last.get(backend, (now, random())) for backend in self.backends}
            due = [
                self._probe(backend, spec)
                for backend, spec in self.backends.items()
                if is_due(backend, *self._last[backend], now, self._probing) and not self._secrets.why_not(spec)
            ]
            await asyncio.gather(*due)

    async def _probe(self, backend: Backend, spec: BackendSpec) -> None:
        try:
            status = await self._ask(spec)
            why = f"a probe was answered {status}" if status >= 500 else None
        except TimeoutError:
            status, why = 0, "a probe was not answered in time"
        except (OSError, ValueError):  # the latter of a name that no name server can be asked for
            status, why = 0, "a probe did not reach it"
        now = monotonic()
        self._last[backend] = now, random()
        if status not in DENIED:
            backend.probed(why, now, random())

    async def _ask(self, spec: BackendSpec) -> int:
        """The status. Raises OSError, TimeoutError or ValueError where there is none."""
        timeout_s = self._probing.timeout_s
        until = asyncio.get_running_loop().time() + timeout_s
        origin, host, path = locate(spec.url + PATH)
        wire = await self._wires.fresh(origin, timeout_s)  # a kept one may be closed, which says nothing of the backend
        try:
            head = [b"GET %b HTTP/1.1\r\nhost: %b\r\n" % (path, host)]
            head += [b"%b: %b\r\n" % header for header in credentials(spec, self._secrets.of(spec))]
            await wire.ask(b"".join([*head, b"\r\n"]), timeout_s, until)
            await wire.rest()
            return wire.status
        finally:
            self._wires.give_back(wire)


def is_due(backend: Backend, probed_at: float, jitter: float, now: float, probing: Probing) -> bool:
    """Whether to probe a backend at `now` that was probed last, or is known since, `probed_at`. `jitter` is from 0 to
    1, and drawn anew after each probe.
    """
    health = backend.health
    if health.state is not State.HEALTHY or health.missed or backend.heard_at == -math.inf:
        since, period_s = probed_at, probing.ill_s
    else:
        since, period_s = max(probed_at, backend.heard_at), probing.idle_s
    return now - since >= period_s * (1 - SPREAD * jitter)
