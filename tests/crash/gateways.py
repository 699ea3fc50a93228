"""A ledger and replicas of gateways as processes of their own, to be killed at any moment.

A socket stands for Ray: it carries reports to the ledger, and is dead while the ledger is. What the upstream counts is
a file that replicas append to before they send a request.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from control.accounts import Reply, Report, Window
from control.gateway.ledger.ledger import Ledger
from control.gateway.ledger.records import Records, Superseded
from serve_apps.gateway.accounts.bank import Bank, Charge, Short

COST = 10
"""What a request reserves; it costs between half of it and all of it."""
AT_ONCE = 200
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Place:
    """Where one run keeps its files."""

    directory: Path
    budget: int

    @property
    def socket(self) -> str:
        return str(self.directory / "ledger")

    @property
    def bill(self) -> Path:
        return self.directory / "bill"

    @property
    def ends(self) -> Path:
        """A byte for each request that was told that all is spent."""
        return self.directory / "ends"

    def billed(self) -> int:
        return sum(map(int, self.bill.read_text().split()))


def start_ledger(place: Place) -> BaseProcess:
    Path(place.socket).unlink(missing_ok=True)
    return _start(_host, place)


def start_replica(place: Place, seed: int) -> BaseProcess:
    return _start(_replica, place, seed)


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _start(run: object, *words: object) -> BaseProcess:
    process = _FORK.Process(target=run, args=words, daemon=True)  # type: ignore[arg-type]
    process.start()
    return process


def _host(place: Place) -> None:
    """One report after another, as an actor takes them."""
    listener = Listener(place.socket, "AF_UNIX", backlog=16)
    ledger, turn = Ledger(Records(f"sqlite:///{place.directory}/biplane.db")), threading.Lock()

    def serve(connection: Connection) -> None:
        try:
            with turn:
                connection.send(ledger.report(connection.recv()))
        except (EOFError, OSError):
            pass  # the replica was killed
        except Superseded:
            os._exit(1)

    while True:
        threading.Thread(target=serve, args=(listener.accept(),)).start()


def _replica(place: Place, seed: int) -> None:
    asyncio.run(_requests(place, Random(seed)))


async def _requests(place: Place, random: Random) -> None:
    def door(report: Report) -> Reply:
        with Client(place.socket, "AF_UNIX") as connection:
            connection.send(report)
            reply: Reply = connection.recv()
            return reply

    bank = Bank(door)
    bank.replicas = 4
    running = asyncio.create_task(bank.run())
    bill = os.open(place.bill, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ends = os.open(place.ends, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    charges = (
        Charge("budget", Window.DAY, place.budget, "cost", COST),
        Charge("requests", Window.MINUTE, 100_000, "requests", 1),
    )

    async def ask() -> None:
        await asyncio.sleep(random.random())
        while True:
            try:
                reservation = await bank.reserve(charges)
            except Short as short:
                if short.spent:
                    os.write(ends, b".")
                    return
                await asyncio.sleep(random.uniform(0.0, 0.1))
                continue
            cost = random.randint(COST // 2, COST)
            os.write(bill, f"{cost}\n".encode())
            await asyncio.sleep(random.uniform(0.0, 0.6))
            reservation.settle({"cost": cost, "requests": 1})

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    running.cancel()
    await asyncio.wait({running})
    await bank.close()
