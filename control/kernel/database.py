"""How the store reaches its database, SQLite or PostgreSQL, by a URL whose password nobody is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext, make_url

from control.specs.problem import nearest

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgresql+psycopg": "postgresql+psycopg"}
_FORMS = "sqlite:////PATH or postgresql://USER@HOST:PORT/DATABASE"
_SECRET_OPTIONS = ("password", "sslpassword")

_POSTGRESQL_SESSION = "-c lock_timeout=20s -c statement_timeout=30s -c idle_in_transaction_session_timeout=15s"
"""A commit waits for the others' as long as this. One whose machine is gone gives its locks back after the last."""
_POSTGRESQL_OPTIONS = {
    "connect_timeout": "5",
    # A server whose machine is gone is noticed within half a minute, not after the operating system's quarter hour.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "target_session_attrs": "read-write",  # of several hosts the primary; never a standby, which takes no commit
    "fallback_application_name": "biplane",
}
_POSTGRESQL_POOL = {"pool_size": 2, "max_overflow": 8, "pool_pre_ping": True}
"""Few connections stay open: every control actor and gateway replica has a pool, and the server's are counted."""


class StoreError(Exception):
    """The store cannot be used. The text is for people and holds no password."""


class InvalidStoreUrl(StoreError):
    """The URL names no database that a plane can keep its state in."""


class Unavailable(StoreError):
    """The database cannot be reached, or gave up waiting. Whether a commit that met this was written is not known."""


def connect(url: str) -> sa.Engine:
    """An engine whose connections are set up for the store; nothing is connected yet. Raises InvalidStoreUrl.

    What `url` says goes before what is set here. Errors that may pass by themselves come out as Unavailable.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        engine = sa.create_engine(parsed, hide_parameters=True)
        sa.event.listen(engine, "connect", _tune_sqlite)
    else:
        session = " ".join((_POSTGRESQL_SESSION, *parsed.normalized_query.get("options", ())))
        query = {**_POSTGRESQL_OPTIONS, **parsed.query, "options": session}
        # The store's commits take turns by a row lock, so each statement has to see what was committed before it.
        engine = sa.create_engine(
            parsed.set(query=query), hide_parameters=True, isolation_level="READ COMMITTED", **_POSTGRESQL_POOL
        )
    display = shown(url)

    def translate(context: ExceptionContext) -> None:
        passing = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
        if isinstance(context.sqlalchemy_exception, passing) and not context.is_pre_ping:
            raise Unavailable(f"the store {display} cannot be used now: {reason(context.sqlalchemy_exception)}")

    sa.event.listen(engine, "handle_error", translate)
    return engine


def for_reading(engine: sa.Engine) -> sa.Engine:
    """The same connections, for single statements: to PostgreSQL a transaction around one is two more round trips."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="AUTOCOMMIT")


def shown(url: str) -> str:
    """`url` as people may see it. Raises InvalidStoreUrl."""
    _parse(url)
    return make_url(url).difference_update_query(_SECRET_OPTIONS).render_as_string(hide_password=True)


def reason(error: sa.exc.SQLAlchemyError) -> str:
    """What the database said, on one line and without the statement."""
    return " ".join(str(error.orig if isinstance(error, sa.exc.DBAPIError) else error).split())


def for_plane(url: str, password: str | None) -> str:
    """`url` as every process of a plane can use it, with `password` where it has none. Raises InvalidStoreUrl."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.host or not Path(parsed.database or "").is_absolute():
            raise InvalidStoreUrl(
                "the plane's SQLite store needs an absolute path, for example sqlite:////var/lib/biplane/biplane.db"
            )
        return url
    if password is not None and parsed.password is None:
        parsed = make_url(url).set(password=password)
        return parsed.render_as_string(hide_password=False)
    return url


def _parse(url: str) -> sa.URL:
    """The URL with the driver that is used. What cannot be read is never repeated: it may be a password."""
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidStoreUrl(f"the store's URL cannot be read; expected {_FORMS}") from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        close = nearest(parsed.drivername, _DRIVERS)
        hint = f"did you mean {close!r}?" if close else f"expected {_FORMS}"
        raise InvalidStoreUrl(f"there is no store {parsed.drivername!r}; {hint}")
    if driver != "sqlite" and url.count("@") > 1:
        raise InvalidStoreUrl("an '@' in the user, the password or an option of the store's URL is written as %40")
    return parsed.set(drivername=driver)


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """Readers never wait for a writer (WAL); writers wait for each other instead of failing."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.close()
