"""The one durable store: objects with compare-and-set, append-only events, heartbeats.

It owns every goal and every status. Writes go through `commit`, one transaction for a whole plan: after a crash
either all of a plan is there or none of it. Commits take turns, so a reader that knows a revision finds everything
up to it. SQLite and PostgreSQL behave alike: nothing is used that only one of them can do.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from control.kernel.database import StoreError, Unavailable, connect, for_reading, reason, shown
from control.kernel.plan import Create, Note, PutSpec, PutStatus, Record, Remove

SCHEMA_VERSION = 1
_AT_ONCE = 400  # objects in one query: databases bound the number of parameters


class _Json(sa.types.TypeDecorator[Any]):
    """JSON kept as text: PostgreSQL's own type refuses NaN, which a metric may be."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(value)


_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # ordered by code point, as SQLite does
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up in INTEGER only, which has 64 bits

metadata = sa.MetaData()

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
objects = sa.Table(
    "objects",
    metadata,
    sa.Column("kind", _NAME, primary_key=True),
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("uid", _NAME, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("spec", _Json, nullable=False),
    sa.Column("status", _Json, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", _NAME, nullable=False),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("who", _NAME, nullable=False),
    sa.Column("event", _NAME, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("events_of_object", "kind", "name", "seq"),
)
heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("actor", _NAME, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("body", _Json, nullable=False),
)


class Conflict(Exception):
    """An object changed since the decision saw it: look again and decide again."""


class WrongSchema(StoreError):
    """The store was written by a Biplane of another schema version."""


@dataclass(frozen=True)
class Object:
    """One stored object. `revision` grows with every write in the store, `generation` with every new spec."""

    kind: str
    name: str
    uid: str
    generation: int
    revision: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class Event:
    """Who did what to which object, why, and when (seconds since the epoch)."""

    seq: int
    at: float
    kind: str
    name: str
    who: str
    event: str
    reason: str


@dataclass(frozen=True)
class Heartbeat:
    """The last sign of life of a control actor."""

    actor: str
    at: float
    body: Mapping[str, Any]


def make_tables(engine: sa.Engine) -> None:
    """Make the tables that are missing. Others may be making them at the same time, each one first in turn."""
    for _ in metadata.tables:
        with contextlib.suppress(sa.exc.DBAPIError, Unavailable):
            return metadata.create_all(engine)
    return metadata.create_all(engine)


class Store:
    """The store behind `url` (SQLAlchemy form). Safe to share between threads; one instance a process.

    Making one raises StoreError when the database cannot be used; every method raises Unavailable when it is away.
    """

    def __init__(self, url: str) -> None:
        self._read: dict[tuple[str, str], Object] = {}
        self._engine = connect(url)
        self._reading = for_reading(self._engine)
        try:
            self._prepare()
            found = self._counter("schema")
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"the store {shown(url)} cannot be used: {reason(error)}") from error
        if found != SCHEMA_VERSION:
            raise WrongSchema(f"the store {shown(url)} has schema {found}; this Biplane reads {SCHEMA_VERSION}")

    def _prepare(self) -> None:
        with self._engine.connect():
            pass  # what is not there at all is not tried again and again below
        make_tables(self._engine)
        with self._engine.begin() as connection:
            for name, value in (("schema", SCHEMA_VERSION), ("revision", 0)):
                if connection.scalar(sa.select(counters.c.value).where(counters.c.name == name)) is None:
                    with contextlib.suppress(sa.exc.IntegrityError), connection.begin_nested():
                        connection.execute(counters.insert().values(name=name, value=value))

    def close(self) -> None:
        self._engine.dispose()

    # Reading

    def revision(self) -> int:
        """Grows with every commit: a cheap answer to "has anything changed?"."""
        return self._counter("revision")

    def stamp(self, kind: str) -> tuple[int, int]:
        """Another one after every change among the objects of a kind: how many there are, and their newest revision."""
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.max(objects.c.revision), 0))
        with self._reading.connect() as connection:
            count, newest = connection.execute(query.where(objects.c.kind == kind)).one()
        return count, newest

    def get(self, kind: str, name: str) -> Object | None:
        query = sa.select(objects).where(objects.c.kind == kind, objects.c.name == name)
        with self._reading.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _object(row)

    def list(self, *kinds: str) -> tuple[Object, ...]:
        """All objects of these kinds (of every kind when none is given), oldest first, as of one moment.

        Only what changed since this store was last asked is read again: to decode the rest takes most of the time.
        """
        columns = (objects.c.kind, objects.c.name, objects.c.revision)
        query = sa.select(*columns).order_by(objects.c.created_at, objects.c.kind, objects.c.name)
        if kinds:
            query = query.where(objects.c.kind.in_(kinds))
        with self._reading.connect() as connection:
            while True:
                keys = [((kind, name), revision) for kind, name, revision in connection.execute(query)]
                known = self._read
                found = {key: known[key] for key, revision in keys if key in known and known[key].revision == revision}
                found |= _read(connection, [key for key, _ in keys if key not in found])
                if all(key in found and found[key].revision == revision for key, revision in keys):
                    break  # else somebody wrote between the two queries
        rest = {key: o for key, o in known.items() if kinds and key[0] not in kinds}
        self._read = rest | found
        return tuple(found[key] for key, _ in keys)

    def events(
        self, kind: str | None = None, name: str | None = None, *, after: int | None = None, limit: int = 1000
    ) -> tuple[Event, ...]:
        """The newest `limit` events, or the first `limit` with `seq` above `after`; oldest first either way."""
        query = sa.select(events).limit(limit)
        if kind is not None:
            query = query.where(events.c.kind == kind)
        if name is not None:
            query = query.where(events.c.name == name)
        if after is not None:
            query = query.where(events.c.seq > after).order_by(events.c.seq)
        else:
            query = query.order_by(events.c.seq.desc())
        with self._reading.connect() as connection:
            found = [Event(**row._mapping) for row in connection.execute(query)]
        return tuple(found if after is not None else reversed(found))

    def heartbeats(self, prefix: str = "") -> tuple[Heartbeat, ...]:
        """Of those whose names begin so."""
        chosen = heartbeats.c.actor.startswith(prefix, autoescape=True)
        with self._reading.connect() as connection:
            rows = connection.execute(sa.select(heartbeats).where(chosen).order_by(heartbeats.c.actor))
            return tuple(Heartbeat(**row._mapping) for row in rows)

    # Writing

    def commit(self, records: Iterable[Record], *, who: str, now: float) -> None:
        """Write all `records` and their events, or none. Raises Conflict when a revision is no longer current."""
        with self._engine.begin() as connection:
            # The first statement takes the write lock, so that what is read below cannot change underneath.
            revision = connection.scalars(_NEXT_REVISION).one()
            records = tuple(records)
            batch = _Batch(_read(connection, list({(one.kind, one.name) for one in records})), revision, now)
            happened = [
                # PostgreSQL has no NUL in a text, and a reason may quote what any program printed.
                {
                    "at": now,
                    "kind": r.kind,
                    "name": r.name,
                    "who": who,
                    "event": r.event,
                    "reason": r.reason.replace("\0", "\N{REPLACEMENT CHARACTER}"),
                }
                for r in records
                if batch.add(r)
            ]
            for _, writes in itertools.groupby(batch.writes, key=lambda write: id(write[0])):
                statement, rows = zip(*writes, strict=True)
                connection.execute(statement[0], rows)
            if happened:
                connection.execute(events.insert(), happened)

    def beat(self, actor: str, body: Mapping[str, Any], *, now: float) -> None:
        """Record a sign of life; it changes no revision."""
        # Should an actor's two lives make their first sign at once, either is as good.
        with contextlib.suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
            values = {"at": now, "body": dict(body)}
            if not connection.execute(heartbeats.update().where(heartbeats.c.actor == actor).values(values)).rowcount:
                connection.execute(heartbeats.insert().values(actor=actor, **values))

    def forget_beats(self, prefix: str, *, before: float) -> None:
        """Drop the last signs of life of those whose names begin so and who have given none since `before`."""
        old = heartbeats.c.actor.startswith(prefix, autoescape=True) & (heartbeats.c.at < before)
        with self._engine.begin() as connection:
            connection.execute(heartbeats.delete().where(old))

    def _counter(self, name: str) -> int:
        with self._reading.connect() as connection:
            return int(connection.scalars(sa.select(counters.c.value).where(counters.c.name == name)).one())


_NEXT_REVISION = (
    counters.update()
    .where(counters.c.name == "revision")
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)
_HERE = (objects.c.kind == sa.bindparam("its_kind")) & (objects.c.name == sa.bindparam("its_name"))
_UPDATE, _DELETE, _INSERT = objects.update().where(_HERE), objects.delete().where(_HERE), objects.insert()
_UPDATE_SPEC = _UPDATE.values({name: sa.bindparam(name) for name in ("spec", "generation", "revision", "updated_at")})
_UPDATE_STATUS = _UPDATE.values({name: sa.bindparam(name) for name in ("status", "revision", "updated_at")})


class _Batch:
    """The writes of one commit, made from what is stored and sent together: one statement a record takes too long."""

    def __init__(self, present: dict[tuple[str, str], Object], revision: int, now: float) -> None:
        self.writes: list[tuple[sa.Executable, dict[str, Any]]] = []
        self._present = present
        self._revision, self._now = revision, now

    def add(self, record: Record) -> bool:
        """Take one record in; True when its event should be written. Raises Conflict."""
        key = (record.kind, record.name)
        found = self._present.get(key)
        if record.revision is not None and (found is None or found.revision != record.revision):
            raise Conflict(f"{record.kind}/{record.name} is no longer at revision {record.revision}")
        match record:
            case Note():
                return True
            case Create() | PutSpec() if found is None:
                made = Object(
                    *key,
                    uid=uuid.uuid4().hex,
                    generation=1,
                    revision=self._revision,
                    spec=dict(record.spec),
                    status={},
                    created_at=self._now,
                    updated_at=self._now,
                )
                self.writes.append((_INSERT, vars(made)))
                self._present[key] = made
                return True
            case Create():
                return False
            case PutSpec():
                if found is None or (found.spec == record.spec and not record.again):
                    return False
                self._update(_UPDATE_SPEC, found, spec=dict(record.spec), generation=found.generation + 1)
                return True
            case PutStatus():
                if found is None:
                    raise Conflict(f"{record.kind}/{record.name} is gone")
                self._update(_UPDATE_STATUS, found, status=dict(record.status))
                return not record.quiet
            case Remove():
                if found is None:
                    return False
                del self._present[key]
                self.writes.append((_DELETE, {"its_kind": record.kind, "its_name": record.name}))
                return True
            case _:
                assert_never(cast("Any", record))

    def _update(self, statement: sa.Executable, found: Object, **change: Any) -> None:
        change |= {"revision": self._revision, "updated_at": self._now}
        self.writes.append((statement, {"its_kind": found.kind, "its_name": found.name, **change}))
        self._present[found.kind, found.name] = replace(found, **change)


def _read(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Object]:
    """Those of the objects that there are."""
    found = {}
    for first in range(0, len(keys), _AT_ONCE):
        wanted = sa.tuple_(objects.c.kind, objects.c.name).in_(keys[first : first + _AT_ONCE])
        for row in connection.execute(sa.select(objects).where(wanted)):
            found[row.kind, row.name] = _object(row)
    return found


def _object(row: sa.Row[Any]) -> Object:
    return Object(**row._mapping)
