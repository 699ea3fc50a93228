"""Where the gateway's replicas write how their traffic went: a heartbeat each, in the plane's store.

Called about once a second by every replica, from a thread. What a crash leaves is the last reading of the replica.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from control.kernel.clock import system_clock
from control.kernel.home import Home
from control.kernel.store import Store
from control.traffic import BEAT_PREFIX

GONE_SECONDS = 600.0
"""So long after its last reading nobody asks for a replica's figures any more."""


def write_gateway_traffic(replica: str, body: Mapping[str, Any]) -> None:
    """`body` as `control.traffic.document` makes it."""
    _store().beat(BEAT_PREFIX + replica, body, now=system_clock())


@functools.cache
def _store() -> Store:
    """Opened once by each replica, which has a name that was never there before: it clears away those long gone."""
    store = Store(Home.find().store_url)
    store.forget_beats(BEAT_PREFIX, before=system_clock() - GONE_SECONDS)
    return store
