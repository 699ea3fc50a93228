"""Whose turn it is: quotas and what a cohort lends, and the order in which those who wait are answered. Pure.

Queues form trees. What a queue has of its own and leaves idle may be borrowed by the others of its tree. Workloads
count in the leaves: a queue that has children too has a leaf for its own workloads, in which lies what its quota
leaves after its children's. The rules of lending are those of Kueue's hierarchical cohorts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from control.scheduler.fair_share import Amount, Shares
from control.scheduler.state import WHOLE, Queue, Workload
from control.specs.problem import nearest
from control.specs.queue import Queue as QueueDocument


@dataclass(frozen=True)
class _Account:
    """A place in the tree of queues; amounts in thousandths of a device.

    `nominal` is the quota of it and of all below it, `pool` as much of that as those below do not keep to themselves,
    `kept` what it does not lend to those above.
    """

    name: str
    parent: str
    nominal: int
    pool: int
    kept: int = 0
    borrow: int | None = None


class Quotas:
    """Who uses how much of which quota. Mutable; whoever wants to know "what if" asks a `copy`.

    Workloads of no queue ("") have no limit and count in the fair share; so has everyone while there is no queue at
    all. A circle of parents, or a parent that does not exist, counts as no parent: `apply` refuses both.
    """

    def __init__(self, queues: Sequence[Queue], capacity: Amount, holders: Iterable[Workload] = ()) -> None:
        self.shares = Shares(capacity, {queue.name: queue.weight for queue in queues})
        self._accounts, self._leaves = _tree({queue.name: queue for queue in queues})
        self._paths = {name: tuple(account.name for account in self._up(name)) for name in self._leaves}
        self._used: dict[str, int] = {}
        """What each account takes of its pool, or beyond it, in thousandths of a device."""
        for holder in holders:
            self.add(holder, holder.milli_devices)

    def copy(self) -> Quotas:
        twin = Quotas.__new__(Quotas)
        twin._accounts, twin._leaves, twin._paths = self._accounts, self._leaves, self._paths
        twin.shares, twin._used = self.shares.copy(), dict(self._used)
        return twin

    def add(self, workload: Workload, milli: int) -> None:
        """Count the workload as holding `milli` thousandths of a device."""
        self.shares.add(self.path(workload.queue), Amount.held_by(workload, milli))
        for account in self._up(workload.queue):
            used = self._used.get(account.name, 0)
            self._used[account.name] = used + milli
            milli -= min(milli, max(0, account.kept - used))

    def remove(self, workload: Workload, milli: int) -> None:
        """Undo `add` with the same arguments."""
        self.shares.add(self.path(workload.queue), Amount.held_by(workload, milli), sign=-1)
        for account in self._up(workload.queue):
            used = self._used.get(account.name, 0)
            self._used[account.name] = used - milli
            milli = min(milli, max(0, used - account.kept))

    def path(self, queue: str) -> tuple[str, ...]:
        """The accounts in which a workload of this queue counts, from its own up to the root."""
        return self._paths.get(queue) or (queue,)

    def refusal(self, workload: Workload, milli: int) -> str:
        """Why the quotas do not admit `milli` thousandths of a device to the workload now; empty when they do."""
        name = workload.queue
        if not name or not self._accounts or not milli:
            return ""
        if name not in self._leaves:
            near = nearest(name, self._leaves)
            return f"there is no queue {name!r}" + (f"; did you mean {near!r}?" if near else "")
        free, where, bound = self._free(name, self._used)
        if milli <= free:
            return ""
        leaf = self._accounts[self._leaves[name]]
        used = self._used.get(leaf.name, 0)
        borrowed = f" ({_show(used - leaf.nominal)} borrowed)" if used > leaf.nominal else ""
        found = f"queue {name} uses {_show(used)} of its {_show(leaf.nominal)} devices{borrowed},"
        most, _, limit = self._free(name, {})
        if milli > most:
            return f"{found} {_show(milli)} more are asked for, but it can never have more than {_show(most)}: {limit}"
        short = _show(milli - free)
        return f"{found} {_show(milli)} more are asked for, but {bound}; it waits for {short} to come back in {where}"

    def has(self, queue: str) -> bool:
        return queue in self._leaves

    def may_ever_admit(self, workload: Workload) -> bool:
        """Whether it could be had if nobody held anything."""
        milli = (workload.least or workload.devices) * workload.milli
        return self.has(workload.queue) and milli <= self._free(workload.queue, {})[0]

    def are_rivals(self, first: Workload, other: Workload) -> bool:
        """Whether the other may get what comes back to the queue of the first: it is of that queue, or would borrow."""
        mine, theirs = list(self._up(first.queue)), list(self._up(other.queue))
        if not mine or not theirs or mine[-1] != theirs[-1]:
            return False
        leaf = theirs[0]
        asked = (other.least or other.devices) * other.milli
        return leaf == mine[0] or self._used.get(leaf.name, 0) + asked > leaf.nominal

    def borrows(self, queue: str) -> bool:
        """Whether the workloads of this queue hold more than its own quota."""
        return queue in self._leaves and self._exceeds(self._accounts[self._leaves[queue]])

    def may_reclaim(self, claimant: Workload, victim: Workload) -> bool:
        """Whether the claimant asks for what is its queue's own and the victim's queue has borrowed in the same tree.

        Elastic training claims its least. From a cohort that holds no more than is its own nothing is reclaimed by
        those outside it, whatever its queues have borrowed from each other.
        """
        mine, theirs = list(self._up(claimant.queue)), list(self._up(victim.queue))
        if not mine or not theirs or mine[-1] != theirs[-1] or mine[0] == theirs[0]:
            return False
        asked = (claimant.least or claimant.devices) * claimant.milli
        if self._used.get(mine[0].name, 0) + asked > mine[0].nominal:
            return False
        return all(self._exceeds(account) for account in theirs if account not in mine)

    def dominant_share(self, queue: str) -> float:
        """What the queue and those below it hold of their dominant resource, 0 to 1, divided by its weight."""
        return self.shares.dominant(queue)

    def _up(self, queue: str) -> Iterator[_Account]:
        name = self._leaves.get(queue, "")
        while name:
            account = self._accounts[name]
            yield account
            name = account.parent

    def _exceeds(self, account: _Account) -> bool:
        return self._used.get(account.name, 0) > account.pool

    def _free(self, queue: str, used: Mapping[str, int]) -> tuple[int, str, str]:
        """How much more the queue could take, in thousandths of a device, where that is bounded, and by what."""
        *below, root = self._up(queue)
        free = root.pool - used.get(root.name, 0)
        lends = f"cohort {root.name} has {_show(max(0, free))} of {_show(root.pool)} left to lend"
        where, bound = root.name, lends if below else "it has no cohort to borrow from"
        for account in reversed(below):
            taken = used.get(account.name, 0)
            if account.borrow is not None:
                most = account.pool + account.borrow - max(taken, account.kept)
                if most < free:
                    free, where, bound = (
                        most,
                        account.name,
                        f"{account.name} may borrow {_show(account.borrow)} at most",
                    )
            free += max(0, account.kept - taken)
        return free, where, bound


class _Turn:
    """Those who wait in one account or below it; next is whoever stands first where the dominant share is lowest."""

    def __init__(self) -> None:
        self.path: tuple[str, ...] = ()
        self.below: dict[str, _Turn] = {}
        self.waiting: list[Workload] = []
        self._heap: list[tuple[float, float, str, str, _Turn]] = []

    def begin(self, shares: Shares, now: float) -> None:
        self.waiting.sort(key=lambda workload: _urgency(workload, now), reverse=True)
        for name, turn in self.below.items():
            turn.begin(shares, now)
            self._heap.append((shares.dominant(name), *_age(turn.next), name, turn))
        heapq.heapify(self._heap)

    @property
    def any(self) -> bool:
        return bool(self._heap or self.waiting)

    @property
    def next(self) -> Workload:
        return self._heap[0][-1].next if self._heap else self.waiting[-1]

    def take(self, shares: Shares) -> Workload:
        """Serve the next: the shares grow by what it asks for."""
        if not self._heap:
            workload = self.waiting.pop()
            shares.count(self.path, workload.devices * workload.milli, workload.cpu, workload.memory)
            return workload
        *_, name, turn = self._heap[0]
        workload = turn.take(shares)
        if not turn.any:
            heapq.heappop(self._heap)
        elif len(self._heap) > 1:
            heapq.heapreplace(self._heap, (shares.dominant(name), *_age(turn.next), name, turn))
        return workload


def order(pending: Iterable[Workload], quotas: Quotas, priorities: Mapping[str, int], now: float) -> Iterator[Workload]:
    """The pending workloads in the order in which they are answered. O(n log n), but whoever stops early pays little.

    By priority class; within a class by progressive filling: next is always the most urgent workload of the queue whose
    dominant share is lowest now, counting those before it in this order as served. In a tree of queues the roots are
    compared first, then what is below the chosen one.
    """
    waiting: dict[tuple[str, str], list[Workload]] = {}
    for workload in pending:
        waiting.setdefault((workload.priority_class, workload.queue), []).append(workload)
    turns: dict[int, _Turn] = {}
    for (priority_class, queue), here in waiting.items():
        turn = turns.setdefault(priorities.get(priority_class, 0), _Turn())
        path = quotas.path(queue)
        for name in reversed(path):
            turn = turn.below.setdefault(name, _Turn())
        turn.path = path
        turn.waiting += here
    return _filled([turns[value] for value in sorted(turns, reverse=True)], quotas.shares.copy(), now)


def _filled(turns: Iterable[_Turn], shares: Shares, now: float) -> Iterator[Workload]:
    for turn in turns:
        turn.begin(shares, now)
        while turn.any:
            yield turn.take(shares)


def queue_of(document: QueueDocument) -> Queue:
    spec = document.spec
    return Queue(document.name, spec.parent or "", spec.quota, spec.borrow, spec.lend, spec.weight)


USUAL_SECONDS = 3600.0
"""How long a workload is taken to run that does not say it."""


def _urgency(workload: Workload, now: float) -> tuple[float, float, str]:
    """By response ratio (Brinch Hansen 1971): how often it could have run while it waited. The short go first, and
    who waits long enough goes before them."""
    waited = max(0.0, now - workload.waiting_since)
    return (-waited / (workload.duration or USUAL_SECONDS), *_age(workload))


def _age(workload: Workload) -> tuple[float, str]:
    return (workload.created_at, workload.name)


def _show(milli: int) -> str:
    """Devices as people count them: 2, 0.25."""
    return f"{milli / WHOLE:g}"


def _tree(queues: Mapping[str, Queue]) -> tuple[Mapping[str, _Account], Mapping[str, str]]:
    """The accounts by name, and for each queue the account in which its workloads count."""
    parents = {name: _parent(queue, queues) for name, queue in queues.items()}
    children: dict[str, list[str]] = {name: [] for name in queues}
    for name, parent in parents.items():
        if parent:
            children[parent].append(name)
    accounts: dict[str, _Account] = {}
    leaves: dict[str, str] = {}

    def open_account(name: str) -> _Account:
        queue, nominal = queues[name], queues[name].quota * WHOLE
        below = [open_account(child) for child in children[name]]
        leaves[name] = name
        pool = nominal
        if below:
            leaves[name] = f"{name}/"  # no name of a queue holds a slash
            own = max(0, nominal - sum(account.nominal for account in below))
            below.append(_Account(leaves[name], name, own, own))
            accounts[leaves[name]] = below[-1]
            nominal = sum(account.nominal for account in below)
            pool = sum(account.pool - account.kept for account in below)
        kept = 0 if queue.lend is None else max(0, pool - queue.lend * WHOLE)
        borrow = None if queue.borrow is None else queue.borrow * WHOLE
        accounts[name] = _Account(name, parents[name], nominal, pool, kept, borrow)
        return accounts[name]

    for name in queues:
        if not parents[name]:
            open_account(name)
    return accounts, leaves


def _parent(queue: Queue, queues: Mapping[str, Queue]) -> str:
    """The parent, if there is one and following parents does not lead back here."""
    seen: set[str] = set()
    name = queue.parent
    while name in queues and name not in seen:
        seen.add(name)
        name = queues[name].parent
    return queue.parent if queue.parent in queues and queue.name not in seen else ""
