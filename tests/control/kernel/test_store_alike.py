"""Whatever is asked of the store in whatever order, SQLite and PostgreSQL answer the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.kernel.plan import Create, Note, PutSpec, PutStatus, Record, Remove
from control.kernel.store import Conflict, Store
from tests.fakes.postgres import PostgresServer

texts = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.sampled_from(["a", "B", "ä", "ﬀ"])
bodies = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
revisions = st.none() | st.integers(1, 6)
about = {"kind": st.sampled_from(["K", "k"]), "name": names, "event": st.just("e"), "reason": texts}
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Create, spec=bodies, **about),
    st.builds(PutSpec, spec=bodies, revision=revisions, again=st.booleans(), **about),
    st.builds(PutStatus, status=bodies, revision=revisions, quiet=st.booleans(), **about),
    st.builds(Remove, revision=revisions, **about),
    st.builds(Note, **about),
)
plans = st.lists(st.tuples(st.lists(records, min_size=1, max_size=4), st.floats(0, 2e9)), max_size=6)


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer) -> Iterator[tuple[Store, Store]]:
    stores = (Store("sqlite://"), Store(postgres.url(schema=postgres.new_schema())))
    yield stores
    for store in stores:
        store.close()


def answers(store: Store, course: list[tuple[list[Record], float]]) -> list[object]:
    """What an empty store says to each plan and what is in it afterwards; it is empty again at the end."""
    first, after = store.revision(), max((event.seq for event in store.events(limit=1)), default=0)
    said: list[object] = []
    for plan, now in course:
        moved = [_at(record, first) for record in plan]
        try:
            store.commit(moved, who="test", now=now)
            said.append("written")
        except Conflict:
            said.append("conflict")
        store.beat("me", {"n": len(said)}, now=now)
    said.append(store.revision() - first)
    said.extend(
        (o.kind, o.name, o.generation, o.revision - first, o.spec, o.status, o.created_at, o.updated_at)
        for o in store.list()
    )
    said.extend((e.at, e.kind, e.name, e.who, e.event, e.reason) for e in store.events(after=after))
    said.extend((beat.at, beat.body) for beat in store.heartbeats() if course)
    store.commit([Remove(kind=o.kind, name=o.name, event="e", reason="") for o in store.list()], who="t", now=0.0)
    return said


def _at(record: Record, first: int) -> Record:
    """The record with its revision counted from `first`, where it has one."""
    return record if record.revision is None else replace(record, revision=record.revision + first)


@settings(max_examples=20, deadline=None)
@given(course=plans)
def test_both_databases_answer_alike(pair: tuple[Store, Store], course: list[tuple[list[Record], float]]) -> None:
    sqlite, postgresql = pair
    assert answers(sqlite, course) == answers(postgresql, course)
