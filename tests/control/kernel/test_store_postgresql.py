"""What only a server can do to the store: go away, make it wait, refuse it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator

import pytest

from control.kernel.database import StoreError, Unavailable, connect
from control.kernel.plan import Create, Note, Record
from control.kernel.store import Store
from tests.fakes.postgres import PASSWORD, PostgresServer

WRONG = "a-wrong-password"


def create(name: str) -> Create:
    return Create(kind="Thing", name=name, event="Created", reason="test", spec={})


def names(store: Store) -> list[str]:
    return [o.name for o in store.list("Thing")]


@pytest.fixture
def schema(postgres: PostgresServer) -> str:
    return postgres.new_schema()


@pytest.fixture
def store(postgres: PostgresServer, schema: str) -> Iterator[Store]:
    store = Store(postgres.url(schema=schema))
    yield store
    store.close()


def test_a_connection_that_was_broken_off_is_replaced_unnoticed(store: Store, postgres: PostgresServer) -> None:
    store.commit((create("a"),), who="test", now=1.0)
    postgres.break_off()
    assert names(store) == ["a"]
    postgres.break_off()
    store.commit((create("b"),), who="test", now=1.0)
    assert names(store) == ["a", "b"]


def test_a_commit_whose_connection_breaks_writes_nothing_and_can_be_made_again(
    store: Store, postgres: PostgresServer
) -> None:
    def records() -> Iterator[Record]:
        yield create("a")
        postgres.break_off()

    before = store.revision()
    with pytest.raises(Unavailable, match="terminating connection"):
        store.commit(records(), who="test", now=1.0)
    assert (store.revision(), names(store)) == (before, [])
    store.commit((create("a"),), who="test", now=1.0)
    assert (store.revision(), names(store)) == (before + 1, ["a"])


def test_while_the_server_is_away_every_call_says_so_and_afterwards_all_is_there(
    store: Store, postgres: PostgresServer, schema: str
) -> None:
    store.commit((create("a"),), who="test", now=1.0)
    postgres.stop()
    try:
        for call in (store.revision, store.list, lambda: store.beat("me", {}, now=1.0)):
            with pytest.raises(Unavailable, match="cannot be used now"):
                call()
        with pytest.raises(Unavailable, match="cannot be used now"):
            Store(postgres.url(schema=schema))
    finally:
        postgres.start()
    assert names(store) == ["a"]
    store.commit((create("b"),), who="test", now=1.0)


def test_a_commit_waits_for_another_no_longer_than_it_may(postgres: PostgresServer, schema: str) -> None:
    holder = Store(postgres.url(schema=schema))
    waiting = Store(postgres.url(schema=schema, lock_timeout="50ms"))

    def while_the_other_waits() -> Iterator[Record]:
        yield create("a")
        with pytest.raises(Unavailable, match="lock timeout"):
            waiting.commit((create("b"),), who="test", now=1.0)
        assert names(waiting) == []  # readers wait for nobody

    holder.commit(while_the_other_waits(), who="test", now=1.0)
    waiting.commit((create("b"),), who="test", now=1.0)
    assert names(holder) == ["a", "b"]


def test_one_that_stands_still_in_a_commit_lets_the_others_go_on(postgres: PostgresServer, schema: str) -> None:
    stuck = Store(postgres.url(schema=schema, idle_in_transaction_session_timeout="50ms"))
    other = Store(postgres.url(schema=schema))

    def stand_still() -> Iterator[Record]:
        yield create("a")
        other.commit((create("b"),), who="test", now=1.0)
        time.sleep(0.1)

    with pytest.raises(Unavailable):
        stuck.commit(stand_still(), who="test", now=1.0)
    assert names(stuck) == ["b"]


def test_no_session_waits_or_stands_still_without_end(postgres: PostgresServer) -> None:
    """What the tests above shorten is bounded without them too, and each commit sees what the one before it wrote."""
    engine = connect(postgres.url())
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        ]
        found.append(connection.exec_driver_sql("SHOW transaction_isolation").scalar_one())
    engine.dispose()
    assert found == ["20s", "30s", "15s", "read committed"]


def test_the_options_of_the_url_reach_the_server(postgres: PostgresServer) -> None:
    with pytest.raises(Unavailable, match="does not support SSL"):
        Store(postgres.tcp_url(query="?sslmode=require"))
    with pytest.raises(StoreError, match='invalid connection option "sslmod"'):
        Store(postgres.tcp_url(query="?sslmod=require"))


def test_who_may_not_make_the_tables_is_told(postgres: PostgresServer, schema: str) -> None:
    with pytest.raises(StoreError, match="cannot be used: no schema has been selected to create in"):
        Store(postgres.tcp_url("locked", PASSWORD, f"?options=-csearch_path%3D{schema}"))


def test_tables_of_another_program_are_told_and_left_alone(postgres: PostgresServer, schema: str) -> None:
    postgres.execute(f"CREATE TABLE {schema}.counters (id INT)")
    with pytest.raises(StoreError, match=r"cannot be used: .*counters"):
        Store(postgres.url(schema=schema))


def test_a_wrong_password_is_in_no_part_of_the_error(postgres: PostgresServer) -> None:
    with pytest.raises(Unavailable, match=r"locked:\*\*\*@.*password authentication failed") as caught:
        Store(postgres.tcp_url("locked", WRONG))
    assert WRONG not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_is_not_there_is_told_at_once(postgres: PostgresServer) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be used now"):
        Store("postgresql://me@127.0.0.1:1/d")
    assert time.monotonic() - began < 3


def test_what_a_statement_carried_is_not_in_its_error(store: Store, postgres: PostgresServer, schema: str) -> None:
    postgres.execute(f"DROP TABLE {schema}.events")
    with pytest.raises(Exception, match="events") as caught:
        store.commit((Note(kind="T", name="n", event="e", reason=WRONG),), who="test", now=1.0)
    assert WRONG not in "".join(traceback.format_exception(caught.value))
