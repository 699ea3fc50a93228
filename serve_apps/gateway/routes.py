"""Which version of a model answers, and which of its replicas. No I/O; the time comes in.

Kept in memory: how far each arm is behind its share, what each replica has of us, and which could not be reached
lately. A crash forgets all: the split begins anew, and a dead replica is found again by the first request that goes
there.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from starlette.types import Scope

from serve_apps.gateway.endpoints import Endpoint
from serve_apps.gateway.errors import model_not_found, model_unavailable
from serve_apps.gateway.hashing import draw
from serve_apps.gateway.replicas import Server, Visit, least_loaded, preferred
from serve_apps.gateway.split import Slot, Split, owner
from serve_apps.gateway.table import Replica, Sticky, Table
from serve_apps.gateway.turns import ROUNDING

QUARANTINE_SECONDS = 1.0
"""How long a replica that could not be reached is avoided. Then one request tries it for all."""
MOST_FAILURES = 5
"""In a row, after which a replica is avoided as if it could not be reached."""
One = TypeVar("One")


class Target(NamedTuple):
    """Who answers."""

    slot: Slot
    server: Server


class Routes:
    """The arms' turns and the replicas' loads and health, kept from one table to the next."""

    def __init__(self) -> None:
        self._table: Table | None = None
        self._splits: dict[str, Split] = {}
        self._servers: dict[Replica, Server] = {}
        self._endpoints: Mapping[str, Endpoint] = {}
        self._troubled: set[Server] = set()  # those that are not simply well: mostly nobody, and then nothing is sorted

    def pick(self, table: Table, model: str, key: str | None, now: float, near: int | None = None) -> Target:
        """Who answers: of the arms `key`'s own, or without a key the one whose turn it is; of its replicas the one that
        prompts with the draw `near` prefer, or without one the key's, or without that the one that has least to do.
        `now` is in seconds.

        Raises ApiError: 404 for an unknown model, 503 where no arm has weight and a replica.
        """
        if table is not self._table:
            self._renew(table)
        split = self._splits.get(model)
        if split is None:
            raise model_not_found(model, table.models)
        slots = split.slots
        if not slots:
            raise model_unavailable(model, "no version of it takes traffic")
        if self._troubled and len(slots) > 1:
            levels = [min(server.level(now) for server in slot.servers) for slot in slots]
            slots = _lowest(slots, levels)
        return self._choose(split, slots, key, near, now)

    def again(
        self, model: str, key: str | None, now: float, near: int | None, failed: Slot, tried: Collection[Server]
    ) -> Target | None:
        """Who shall try after `tried` did not answer: what is well before what is not, then the arm that `failed`
        before another one; None where nobody is left.
        """
        split = self._splits.get(model)
        untried = [
            (slot, (server.level(now), slot.seed != failed.seed))
            for slot in (split.slots if split else ())
            for server in slot.servers
            if server not in tried
        ]
        if split is None or not untried:
            return None
        slots = _lowest([slot for slot, _ in untried], [level for _, level in untried])
        return self._choose(split, list(dict.fromkeys(slots)), key, near, now, tried)

    def servers(self, model: str) -> int:
        """How many replicas of a model take traffic."""
        split = self._splits.get(model)
        return split.servers if split else 0

    def broke(self, server: Server, now: float) -> None:
        server.failures += 1
        self.unreached(server, now)

    def unreached(self, server: Server, now: float) -> None:
        server.avoided_until = now + QUARANTINE_SECONDS
        self._troubled.add(server)

    def failed(self, server: Server, now: float) -> None:
        """One that fails at once has the fewest requests in flight: it would be asked before all others."""
        server.failures += 1
        if server.failures >= MOST_FAILURES:
            self.unreached(server, now)
        else:
            self._cleared(server)

    def connected(self, server: Server) -> None:
        """It accepts connections: that is enough, unless what it accepts keeps breaking off. An answer that comes
        whole may take minutes.
        """
        if server.failures <= 1:
            self._cleared(server)

    def reached(self, server: Server) -> None:
        server.failures = 0
        self._cleared(server)

    def _cleared(self, server: Server) -> None:
        if server.avoided_until:
            server.avoided_until = 0.0
            if server.ready:
                self._troubled.discard(server)

    def mirrors(self, model: str, now: float) -> list[Target]:
        """The shadows of a picked model whose turn it is to get a copy: exactly their share over any window, ± 1."""
        split, due = self._splits.get(model), []
        for slot in split.shadows if split else ():
            slot.lag += min(slot.share, 1.0)
            if slot.lag >= 1 - ROUNDING:
                slot.lag -= 1
                if slot.servers:
                    due.append(Target(slot, self._server(slot, None, now, ())))
        return due

    def learn(self, table: Table | None, endpoints: Mapping[str, Endpoint], now: float) -> None:
        """Takes in what the replicas say of themselves, and takes back requests from those that are lost where another
        one is well that they have not tried.
        """
        self._endpoints = endpoints
        if table is not None and table is not self._table:
            self._renew(table)
        for server in self._servers.values():
            server.learn(endpoints.get(server.replica.app))
        self._troubled = {server for server in self._servers.values() if not server.ready or server.avoided_until}
        for lost in [server for server in self._troubled if server.lost]:
            for visit in list(lost.waiting):
                if self._well_elsewhere(visit, now):
                    visit.give_up()

    def _well_elsewhere(self, visit: Visit, now: float) -> bool:
        split = self._splits.get(visit.model)
        servers = (server for slot in split.slots for server in slot.servers) if split else ()
        return any(server.level(now) == 0 and server not in visit.tried for server in servers)

    def _choose(
        self,
        split: Split,
        slots: list[Slot],
        key: str | None,
        near: int | None,
        now: float,
        tried: Collection[Server] = (),
    ) -> Target:
        drawn = None if key is None else draw(key)
        if len(slots) == 1:
            slot = slots[0]
        elif drawn is None:
            slot = split.turns.next(slots)
        else:
            slot = owner(slots, drawn)
        return Target(slot, self._server(slot, drawn if near is None else near, now, tried))

    def _server(self, slot: Slot, drawn: int | None, now: float, tried: Collection[Server]) -> Server:
        servers: Sequence[Server] = slot.servers
        if len(servers) > 1 and (self._troubled or tried):
            servers = [server for server in servers if server not in tried]
            servers = _lowest(servers, [server.level(now) for server in servers])
        if len(servers) == 1:
            server = servers[0]
        elif drawn is None:
            server = least_loaded(servers, slot.turn)
            slot.turn += 1
        else:
            server = preferred(servers, drawn)
        if server.avoided_until:
            server.avoided_until = now + QUARANTINE_SECONDS  # half open: this request tries for all
        return server

    def _renew(self, table: Table) -> None:
        """Takes in a new table. Replicas that it does not name any more are kept until their last request ended: one
        that waits there in vain is still to be taken back.
        """
        arms = [arm for model in table.models.values() for arm in model.arms]
        arms += [shadow.arm for model in table.models.values() for shadow in model.shadows]
        servers = {}
        for replica in (replica for arm in arms for replica in arm.replicas):
            servers[replica] = self._servers.get(replica) or Server(replica)
            servers[replica].learn(self._endpoints.get(replica.app))
        servers.update({one: server for one, server in self._servers.items() if server.in_flight})
        splits = {}
        for name, model in table.models.items():
            splits[name] = Split(name, model, servers)
            if (before := self._splits.get(name)) is not None:
                splits[name].go_on(before)
        self._table, self._splits, self._servers = table, splits, servers
        self._troubled = {server for server in servers.values() if not server.ready or server.avoided_until}


def sticky_key(sticky: Sticky, user: str, scope: Scope) -> str | None:
    """What a request's arm depends on; None where any arm may answer."""
    if sticky is Sticky.SESSION:
        for name, value in scope["headers"]:
            if name == b"x-session-id":
                return str(value.decode("latin-1"))
    return user if user and sticky is not Sticky.NOBODY else None


def _lowest(found: Sequence[One], levels: Sequence[Any]) -> list[One]:
    """Those of `found` whose level is the lowest there is."""
    lowest = min(levels)
    return [one for one, level in zip(found, levels, strict=True) if level == lowest]
