"""The replicas as this process sees them: what each has of us, how it is, and which of several is taken. No I/O."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from serve_apps.gateway.endpoints import Endpoint
from serve_apps.gateway.hashing import draw, mixed
from serve_apps.gateway.table import Arm, Replica
from serve_apps.gateway.wire import Headers

OVERLOAD = 1.25
"""How much more than the mean a preferred replica may have, and one request beside (consistent hashing with bounded
loads: Mirrokni, Thorup and Zadimoghaddam, SODA 2018)."""


class Server:
    """One replica. `in_flight` are the requests that it has of this process; `waiting` those of them that wait for
    their first byte. `avoided_until` is 0 unless it could not be reached or has failed, the last `failures` times.
    """

    __slots__ = ("avoided_until", "direct", "failures", "in_flight", "lost", "ready", "replica", "seed", "waiting")

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.seed = draw(replica.app or replica.url)
        self.in_flight = self.failures = 0
        self.avoided_until = 0.0
        self.waiting: set[Visit] = set()
        self.direct, self.ready, self.lost = "", True, False

    def learn(self, endpoint: Endpoint | None) -> None:
        """How it is by its own account. Of one that never gave any, nothing bad is thought; one with a new address
        began anew and is worth a try.
        """
        url, self.ready, self.lost = (endpoint.url, endpoint.ready, endpoint.lost) if endpoint else ("", True, False)
        if url != self.direct:
            self.direct, self.avoided_until = url, 0.0

    @property
    def url(self) -> str:
        """Its own address, or while that is not known its route through HAProxy."""
        return self.direct or self.replica.url

    def level(self, now: float) -> int:
        """0 where it is well, 1 where it does not want requests or is not heard of, 2 where it cannot be reached."""
        return 2 if self.avoided_until > now else 0 if self.ready else 1


@dataclass(slots=True, eq=False)
class Visit:
    """One request for `model` at one replica of `arm`, reached at `url`; inside `with` it counts as in flight there.

    It has `total_s` seconds, or where that is None all that a request has. One in a `hurry` waits less long for a
    connection, because another replica can take it, and half as long each time. A `mirrored` one is a copy. With the
    `task` that answers it, it can be taken back while it waits for its first byte; `tried` are the replicas that the
    request had by now, this one among them. A good answer gets the `headers` besides its own.
    """

    server: Server
    arm: Arm
    url: str
    model: str
    total_s: float | None = None
    hurry: int = 0
    mirrored: bool = False
    tried: Collection[Server] = ()
    task: asyncio.Task[None] | None = None
    headers: Headers = field(default_factory=list)
    taken_back: bool = False

    def __enter__(self) -> None:
        self.server.in_flight += 1
        if self.task is not None:
            self.server.waiting.add(self)

    def __exit__(self, *_: object) -> None:
        self.server.in_flight -= 1
        self.server.waiting.discard(self)

    def began(self) -> None:
        """The first byte is there."""
        self.server.waiting.discard(self)

    def give_up(self) -> None:
        """Ends the wait with a CancelledError in its task."""
        if self.task is not None:
            self.server.waiting.discard(self)
            self.taken_back = self.task.cancel()

    def uncancel(self) -> bool:
        """Whether its task was cancelled for no other reason than that it was taken back; then it goes on."""
        return self.taken_back and self.task is not None and self.task.uncancel() == 0


def least_loaded(servers: Sequence[Server], turn: int) -> Server:
    """The one with the fewest requests in flight; those with equally many take turns."""
    first = turn % len(servers)
    return min([*servers[first:], *servers[:first]], key=attrgetter("in_flight"))


def preferred(servers: Sequence[Server], drawn: int) -> Server:
    """The one that the draw `drawn` belongs to by rendezvous hashing, of those that are not clearly more loaded than
    the others.
    """
    most = OVERLOAD * sum(server.in_flight for server in servers) / len(servers) + 1
    return max([one for one in servers if one.in_flight <= most], key=lambda one: mixed(one.seed ^ drawn))
