"""The ledger in the plane's store: what is lent and spent, each holder's last report, and what was used on each day.

A report is written down in one transaction with its reply, before the holder gets it: after a crash either all of it
happened or none of it, and a holder that repeats it is told the same. Whoever opens the ledger last is its writer; an
older one is refused from then on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from control.accounts import Counts, Grant, Reply, Report, Usage, Window
from control.gateway.ledger.book import Line, Place
from control.kernel.database import connect, for_reading
from control.kernel.store import counters, make_tables, metadata

KEEP_SECONDS = 2 * 86400.0
"""How long a holder is remembered that says nothing any more."""
_COUNTER = "ledger"
_SUPERSEDED = "another process opened the ledger after this one"

lines = sa.Table(
    "ledger_lines",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("per", sa.Text, primary_key=True),
    sa.Column("slot", sa.BigInteger, primary_key=True),
    sa.Column("holder", sa.Text, primary_key=True),
    sa.Column("lent", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("ends", sa.Float, nullable=False, index=True),
)
holders = sa.Table(
    "ledger_holders",
    metadata,
    sa.Column("holder", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("reply", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
usage = sa.Table(
    "usage",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in Usage._fields),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in Counts._fields),
)


class Superseded(Exception):
    """Another process opened the ledger after this one."""


class Records:
    """Raises as `control.kernel.store.Store` does. Only one process writes: the last whose first `open` was done."""

    def __init__(self, url: str) -> None:
        self._engine = connect(url)
        self._reading = for_reading(self._engine)
        make_tables(self._engine)
        self._term: int | None = None

    def open(self, now: float) -> list[tuple[Place, Line]]:
        """This process is the writer from now on. What is lent and spent and not over. Raises Superseded where it was
        the writer before, and another one is now.
        """
        here = counters.c.name == _COUNTER
        with self._engine.begin() as connection:
            # What an earlier write left undecided, its connection lost, is decided before this one has the row.
            mine = here if self._term is None else here & (counters.c.value == self._term)
            if connection.execute(counters.update().where(mine).values(value=counters.c.value + 1)).rowcount == 0:
                if self._term is not None:
                    raise Superseded(_SUPERSEDED)
                connection.execute(counters.insert().values(name=_COUNTER, value=1))
            term = int(connection.scalars(sa.select(counters.c.value).where(here)).one())
        self._term = term
        return self.lines(now)

    def lines(self, now: float) -> list[tuple[Place, Line]]:
        query = sa.select(lines).where(lines.c.ends > now)
        with self._reading.connect() as connection:
            return [
                (Place(row.account, Window[row.per], row.slot, row.holder), Line(row.lent, row.spent))
                for row in connection.execute(query)
            ]

    def last(self, holder: str) -> Reply | None:
        """What its last report was answered."""
        query = sa.select(holders.c.reply).where(holders.c.holder == holder)
        with self._reading.connect() as connection:
            told = connection.scalars(query).one_or_none()
        if told is None:
            return None
        number, grants, wanted = json.loads(told)
        return Reply(number, tuple(map(_grant, grants)), tuple((account, Window[per]) for account, per in wanted))

    def write(self, report: Report, reply: Reply, changed: Iterable[tuple[Place, Line]], now: float) -> None:
        """Raises Superseded, and nothing is written, where another process opened the ledger."""
        with self._engine.begin() as connection:
            if connection.execute(_HOLD_TERM, {"term": self._term}).rowcount == 0:
                raise Superseded(_SUPERSEDED)
            if rows := [_row(place, line) for place, line in changed]:
                connection.execute(_PUT_LINE, rows)
            told = json.dumps([reply.number, reply.grants, [(account, per.name) for account, per in reply.wanted]])
            connection.execute(
                _PUT_HOLDER, {"holder": report.holder, "number": report.number, "reply": told, "at": now}
            )
            if report.usage:
                connection.execute(_ADD_USAGE, [{**who._asdict(), **counts._asdict()} for who, counts in report.usage])

    def sweep(self, now: float) -> None:
        """Drops what is over."""
        with self._engine.begin() as connection:
            connection.execute(lines.delete().where(lines.c.ends <= now))
            connection.execute(holders.delete().where(holders.c.at < now - KEEP_SECONDS))

    def used(self, first: str, last: str) -> Iterator[tuple[Usage, Counts]]:
        """What was used from one day to another, both included, as `YYYY-MM-DD`."""
        days = usage.c.day.between(first, last)
        with self._reading.connect() as connection:
            rows = connection.execute(sa.select(usage).where(days).order_by(usage.c.day)).all()
        for row in rows:
            yield Usage(*row[: len(Usage._fields)]), Counts(*row[len(Usage._fields) :])

    def close(self) -> None:
        self._engine.dispose()


def _grant(told: list[Any]) -> Grant:
    grant = Grant(*told)
    return grant._replace(frees=tuple((after_s, units) for after_s, units in grant.frees))


def _row(place: Place, line: Line) -> dict[str, Any]:
    return {
        "account": place.account,
        "per": place.window.name,
        "slot": place.slot,
        "holder": place.holder,
        "lent": line.lent,
        "spent": line.spent,
        "ends": place.window.ends(place.slot),
    }


def _upsert(table: sa.Table, change: str) -> sa.TextClause:
    """An insert that changes the row that is there. SQLite and PostgreSQL write it alike, SQLAlchemy has no word for
    both.
    """
    names = [column.name for column in table.columns]
    key = ", ".join(column.name for column in table.primary_key)
    rest = ", ".join(change.format(table=table.name, name=n) for n in names if n not in table.primary_key.columns)
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    return sa.text(f"INSERT INTO {table.name} ({columns}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {rest}")


# Written once: to put a statement together costs as much as to run it.
_TERM = sa.bindparam("term", type_=sa.BigInteger)
_HOLD_TERM = counters.update().where(counters.c.name == _COUNTER, counters.c.value == _TERM).values(value=_TERM)
_PUT_LINE = _upsert(lines, "{name} = excluded.{name}")
_PUT_HOLDER = _upsert(holders, "{name} = excluded.{name}")
_ADD_USAGE = _upsert(usage, "{name} = {table}.{name} + excluded.{name}")
