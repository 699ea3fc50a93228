"""One shard as it is seen: which of its replicas live, which are lost for good, which should be elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control.kernel.present import ReplicaView
from control.specs.replica import Promise, Standing
from control.vectors.layouts import NONE, Layouts
from control.vectors.placement import Room
from control.vectors.state import Collection, Members, Replica, Shard, Snapshot

ALIVE_SECONDS = 4.0
"""A replica that said nothing for longer is not counted on."""
LEADER_SECONDS = 8.0
"""So long a leader may be silent: Ray starts its process again within 2 to 5 s, with its log as it was."""
START_SECONDS = 60.0
"""So long a replica may take to open its shard for the first time before the others begin without it."""
LOST_SECONDS = 60.0
"""A node that has been gone for so long is not waited for."""


@dataclass(frozen=True)
class Look:
    """`rooms` have what this pass has placed already, `layouts` are as they are stored."""

    shard: Shard
    collection: Collection
    snapshot: Snapshot
    rooms: Mapping[str, Room]
    layouts: Layouts = NONE

    @property
    def standing(self) -> Standing | None:
        """Of the leader of its epoch, where it lives."""
        leader = self.shard.leader
        standing = self.view(leader).standing if leader is not None and self.alive(leader) else None
        return standing if standing and standing.leads and standing.epoch == self.shard.epoch else None

    def view(self, number: int) -> ReplicaView:
        return self.snapshot.replicas.get(str(self.shard.called(number)), _UNSEEN)

    def alive(self, number: int) -> bool:
        view = self.view(number)
        return view.standing is not None and view.unheard <= ALIVE_SECONDS and not self.emptied(number)

    def holds_promise(self, number: int) -> bool:
        """As it said itself of how it is; of what it said before a promise nothing follows."""
        standing = self.view(number).standing
        return standing is not None and standing.promised > 0

    def emptied(self, number: int) -> bool:
        """It was a replica, and its directory has nothing of it any more."""
        replica, standing = self.shard.replica(number), self.view(number).standing
        return bool(replica and replica.begun and standing and standing.promised == 0 and standing.epoch == 0)

    def whole(self, number: int) -> bool:
        """It lives, and nothing of its data is damaged."""
        standing = self.view(number).standing
        return self.alive(number) and standing is not None and not standing.degraded

    def lost(self, number: int) -> str:
        """Why it will not come back; empty while it may."""
        replica = self.shard.replica(number)
        if replica is None or not replica.node:
            return ""
        if self.snapshot.away.get(replica.node, 0.0) >= LOST_SECONDS:
            return f"its node {replica.node} is gone"
        if self.emptied(number):
            return f"its directory on {replica.node} is empty: its disk was lost"
        return self._dispossessed(replica)

    def absent(self, number: int) -> str:
        """Why nobody can reach it now, where that has lasted."""
        replica = self.shard.replica(number)
        away = self.snapshot.away.get(replica.node, 0.0) if replica else 0.0
        return f"its node {replica.node} is not there" if replica and away > LEADER_SECONDS else ""

    def _dispossessed(self, replica: Replica) -> str:
        """On a GPU: the lease under which it lies where it lies is not its own any more."""
        placement = self.snapshot.placements.get(self.shard.called(replica.number).workload)
        if placement is None or not placement.pieces:
            return ""
        if placement.evicted:
            return f"evicted: {placement.evicted}"
        room = self.rooms.get(replica.node)
        if room is not None and placement.pieces[0].node_id != room.node_id:
            return f"its devices on {replica.node} were given to somebody else"
        return ""

    def promise(self, number: int, epoch: int) -> Promise | None:
        """What it promised for this epoch."""
        promise = self.view(number).promise
        return promise if promise is not None and promise.epoch == epoch and not self.emptied(number) else None

    @property
    def voters(self) -> Members:
        """Those who may have something that was committed; of a shard that never was, all that have a place."""
        if not self.shard.configs:
            return tuple(one.number for one in self.shard.replicas if one.node)
        return tuple(sorted({number for config in self.shard.configs for number in config}))

    @property
    def next_epoch(self) -> int:
        """Above every epoch that was promised to anybody and came to nothing; the same again while it is asked for."""
        views = [self.view(one.number) for one in self.shard.replicas]
        promised = [view.standing.promised for view in views if view.standing]
        promised += [view.promise.epoch for view in views if view.promise]
        return max([self.shard.epoch + 1, *promised])

    def misplaced(self, number: int) -> str:
        """Why it should move, where another node would take it; empty where it lies well."""
        replica = self.shard.replica(number)
        if replica is None or replica.node not in self.rooms:
            return ""
        if self.rooms[replica.node].drain:
            return f"{replica.node} is drained: {self.rooms[replica.node].cordon}"
        if sum(one.node == replica.node for one in self.shard.replicas) > 1:
            return f"{replica.node} has another replica of this shard"
        return ""

    def state(self, number: int) -> tuple[str, str]:
        """In a word and a sentence how the replica is, for people; the sentence is empty where all is well."""
        replica, view, standing = self.shard.replica(number), self.view(number), self.view(number).standing
        if replica is None or not replica.node:
            placement = self.snapshot.placements.get(self.shard.called(number).workload)
            return "placing", placement.reason if placement else "the scheduler has not answered yet"
        if lost := self.lost(number):
            return "lost", lost
        if replica.node not in self.rooms:
            return "away", f"its node {replica.node} is not there"
        if standing is None:
            return "starting", view.trouble or "its process is starting, or opens its shard"
        if view.unheard > ALIVE_SECONDS:
            return "silent", view.trouble or "its process does not answer; Ray starts it again where it died"
        if standing.degraded:
            return "degraded", "; ".join(standing.degraded)
        if not self.shard.epoch:
            return "waiting", "its shard has no leader yet"
        if number not in self.shard.members:
            return "learning", "it copies what the others have"
        return ("leads" if number == self.shard.leader and self.shard.phase.led else "follows"), view.trouble


_UNSEEN = ReplicaView()
