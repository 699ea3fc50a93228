"""Several processes on one store: one of them wins, and whoever knows a revision finds everything up to it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from control.kernel.plan import Create, Note, PutStatus
from control.kernel.store import Conflict, Store

WRITERS, COMMITS = 3, 15


@contextmanager
def processes(work: Callable[..., None], *arguments: tuple[object, ...]) -> Iterator[Callable[[], bool]]:
    """One process for each of `arguments`; the block is given whether any still runs. All have to end well."""
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=work, args=one) for one in arguments]
    for process in started:
        process.start()
    yield lambda: any(process.is_alive() for process in started)
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * len(started)


def create_many(url: str, me: int) -> None:
    store = Store(url)
    for number in range(COMMITS):
        name = f"{me}-{number}"
        create = Create(kind="Thing", name=name, event="Created", reason="test", spec={})
        store.commit((create, Note(kind="Thing", name=name, event="Noted", reason="test")), who="test", now=1.0)
    store.close()


def test_who_knows_a_revision_finds_everything_up_to_it_and_events_are_in_the_order_of_the_commits(
    store: Store, url: str
) -> None:
    """Every commit is one revision, one object and two events."""
    first = store.revision()
    store.close()
    with processes(create_many, *((url, me) for me in range(WRITERS))) as any_runs:
        readings: list[int] = []
        while any_runs():
            known = store.revision()
            events = store.events(after=0)
            found = {o.revision for o in store.list()}
            readings.append(known)
            assert found >= set(range(first + 1, known + 1))
            assert len(events) >= 2 * (known - first)
    assert store.revision() == first + WRITERS * COMMITS
    assert readings == sorted(readings)
    assert len(set(readings)) > 2, "the reader saw only the end"
    revisions = {o.name: o.revision for o in store.list()}
    in_order = [revisions[event.name] for event in store.events()]
    assert in_order == sorted(in_order)
    assert len(in_order) == 2 * WRITERS * COMMITS


def claim_all(url: str, me: int) -> None:
    """Try to be the first to write each object at the revision at which all were made."""
    store = Store(url)
    for one in sorted(store.list("Thing"), key=lambda o: o.name):
        taken = PutStatus(
            kind="Thing", name=one.name, event="Taken", reason=str(me), status={"by": me}, revision=1, quiet=False
        )
        try:
            store.commit((taken,), who="test", now=1.0)
        except Conflict:
            continue
    store.close()


def test_of_those_who_write_at_one_revision_exactly_one_wins_and_the_others_know(store: Store, url: str) -> None:
    names = [f"{number:02}" for number in range(COMMITS)]
    store.commit(
        [Create(kind="Thing", name=name, event="Created", reason="test", spec={}) for name in names],
        who="test",
        now=1.0,
    )
    store.close()
    with processes(claim_all, *((url, me) for me in range(WRITERS))):
        pass
    for name in names:
        (taken,) = [event for event in store.events("Thing", name) if event.event == "Taken"]
        found = store.get("Thing", name)
        assert found is not None
        assert found.status == {"by": int(taken.reason)}
    assert store.revision() == 1 + len(names)
