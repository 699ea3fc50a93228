"""The ledger: the one writer of what gateways lend and spend, and its Ray actor.

Stored: lines, holders' last reports and usage, in the plane's store. A crash costs nothing that a holder was told; the
next ledger reads the book from the store, and holders repeat what was not answered.
"""

from __future__ import annotations

import os

from control.accounts import Reply, Report
from control.gateway.ledger.book import Book
from control.gateway.ledger.records import Records, Superseded
from control.kernel.clock import Clock, system_clock
from control.kernel.home import Home

SWEEP_SECONDS = 1.0
"""Nobody is answered meanwhile: what a minute's lines of ten thousand keys leave in ten seconds takes half a second."""


class Ledger:
    """Not for several threads: reports are taken one after another."""

    def __init__(self, records: Records, clock: Clock = system_clock) -> None:
        self._records = records
        self._clock = clock
        self._last: dict[str, Reply] = {}
        self._swept = clock()
        self._book: Book | None = self._open()

    def report(self, report: Report) -> Reply:
        """Takes a report in, once. Raises StoreError where it cannot be written down, and then it was not taken; and
        Superseded where another ledger took this one's place.
        """
        book = self._book or self._open()
        # What the book says next is not written yet, or perhaps it is: after a failure only the store knows.
        self._book = None
        last = self._last.get(report.holder) or self._records.last(report.holder)
        if last is None or report.number > last.number:
            now = self._clock()
            last = book.take(report, now)
            if book.changed or report.usage:  # else nothing would be lost with it
                self._records.write(report, last, [(place, book.line(place)) for place in book.changed], now)
                book.changed.clear()
            self._last[report.holder] = last
            if now - self._swept > SWEEP_SECONDS:
                self._sweep(book, now)
        self._book = book
        return last

    def _open(self) -> Book:
        now = self._clock()
        self._last.clear()
        return Book(self._records.open(now), now)

    def _sweep(self, book: Book, now: float) -> None:
        self._swept = now
        self._last.clear()  # of holders that are no more, too: those that are have theirs in the store
        book.forget(now)
        self._records.sweep(now)


class LedgerActor:
    """Hosts the ledger of the plane."""

    def __init__(self) -> None:
        self._ledger = Ledger(Records(Home.find().store_url))

    def report(self, report: Report) -> Reply:
        try:
            return self._ledger.report(report)
        except Superseded:
            os._exit(1)

    def pid(self) -> int:
        return os.getpid()
