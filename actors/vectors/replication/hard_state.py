"""What a replica has promised, and what it is to its shard: durable before it counts. Pure.

It says who may write to this replica's log. A crash leaves either the old state or the new one (`disk.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from actors.vectors.replication.errors import Degraded, Fenced
from actors.vectors.replication.term import epoch_of, term_of
from control.specs.replica import STILL, Assignment, Move

LOST = "entries of this replica's log are lost: it says nothing about what was acknowledged"


class Role(StrEnum):
    LEARNER = "learner"  # no member (yet): takes the log, is counted for nothing
    FOLLOWER = "follower"
    LEADER = "leader"


@dataclass(frozen=True)
class HardState:
    """Entries of terms before `promised` are refused. `epoch` and `leader` are the last that it was told, and `members`
    and `learners` where it was told them. `life` counts how often it began to lead in this epoch. `lost`: entries that
    it had on disk are gone, so that its log says nothing about what was acknowledged; with its promise of the epoch
    `confessed` it said so. `move` is that of the assignment's `number`. A leader that has all rows of an earlier layout
    got them in the attempt `filled`, up to the entry `position` of its log.
    """

    promised: int = 0
    epoch: int = 0
    life: int = 0
    role: Role = Role.LEARNER
    leader: str = ""
    members: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    lost: bool = False
    confessed: int = 0
    number: int = 0
    move: Move = STILL
    filled: int = 0
    position: int = 0

    @property
    def term(self) -> int:
        """Of what it writes as a leader."""
        return term_of(self.epoch, self.life)

    @property
    def leads(self) -> bool:
        return self.role is Role.LEADER

    @property
    def serves(self) -> bool:
        """Whether clients may write to it: it has no rows to get."""
        fill = self.move.fill
        return fill is None or 0 < fill.attempt == self.filled

    def promise(self, epoch: int) -> HardState:
        """Raises Fenced where it has promised more."""
        self._admit(epoch)
        if epoch <= self.epoch:
            return self
        role = Role.FOLLOWER if self.leads else self.role
        confessed = epoch if self.lost else self.confessed
        return replace(self, promised=max(self.promised, term_of(epoch)), role=role, confessed=confessed)

    def lead(self, me: str, assignment: Assignment) -> HardState:
        """Leads on where it leads that epoch already; what is older than what it knows changes nothing.

        Raises Fenced, ValueError where `me` is none of its members, and Degraded where others have what it lost since
        it promised.
        """
        epoch, members = assignment.epoch, assignment.members
        self._admit(epoch)
        if me not in members:
            raise ValueError(f"{me} is to lead epoch {epoch}, and is none of its members {', '.join(members)}")
        if self.lost and self.confessed != epoch and len(members) > 1:
            raise Degraded(LOST)
        if epoch > self.epoch:
            begun = HardState(term_of(epoch), epoch, 0, Role.LEADER, me, members, assignment.learners)
            return replace(begun, number=assignment.number, move=assignment.move)
        if self.leads and members == self.members:
            if assignment.number < self.number:
                return self
            return replace(self, learners=assignment.learners, number=assignment.number, move=assignment.move)
        raise Fenced(epoch + 1)  # somebody else leads in it, or this replica stopped leading in it

    def follow(self, me: str, assignment: Assignment) -> HardState:
        """Raises Fenced where it has promised more, or leads in that epoch itself."""
        epoch = assignment.epoch
        self._admit(epoch)
        if epoch == self.epoch and self.leads:
            raise Fenced(epoch + 1)
        role = Role.FOLLOWER if me in assignment.members else Role.LEARNER
        promised = max(self.promised, term_of(epoch))
        return HardState(
            promised, epoch, 0, role, assignment.leader, assignment.members, assignment.learners, self.lost,
            number=assignment.number, move=assignment.move,
        )  # fmt: skip

    def hear(self, term: int, leader: str) -> HardState:
        """What it is once a leader has spoken to it. Raises Fenced where it has promised more."""
        if term < self.promised or (term == self.term and self.leads):
            raise Fenced(epoch_of(self.promised))
        if term == self.promised and leader == self.leader:
            return self
        role = Role.FOLLOWER if self.leads else self.role
        if epoch_of(term) == self.epoch:
            return replace(self, promised=term, role=role, leader=leader)
        return HardState(term, epoch_of(term), 0, role, leader, lost=self.lost)

    def begin_again(self, lost: bool) -> HardState:
        """What it is when its process starts: who led leads on, unless its disk has `lost` entries that others have."""
        standing = replace(self, lost=self.lost or lost)
        if not standing.leads:
            return standing
        if standing.lost and len(standing.members) > 1:
            return replace(standing, role=Role.FOLLOWER, leader="")
        life = standing.life + 1
        return replace(standing, life=life, promised=term_of(standing.epoch, life))

    def whole(self) -> HardState:
        """Its log has again all that is final."""
        return replace(self, lost=False)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(body: dict[str, Any]) -> HardState:
        return TypeAdapter(HardState).validate_python(body)

    def _admit(self, epoch: int) -> None:
        if epoch < epoch_of(self.promised):
            raise Fenced(epoch_of(self.promised))
