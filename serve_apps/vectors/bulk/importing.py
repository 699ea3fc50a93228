"""One file into a collection: several batches on their way at once, in an order that leaves the last row of each id.

It stores the receipt, nothing else. Every batch may be sent again, so what fails for a while is, and a killed import
goes on where its receipt says.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.rows import ID
from control.specs.collection import CollectionSpec
from serve_apps.vectors.bulk.columns import ImportRefused
from serve_apps.vectors.bulk.receipt import ImportReceipt
from serve_apps.vectors.bulk.source import Rows, Source
from serve_apps.vectors.client import Collection, VectorsError

AT_ONCE = 4
PATIENCE_SECONDS = 120.0
"""How long a batch is sent again that nobody takes."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
SAVE_SECONDS = 1.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_ROW = re.compile(r"^(?P<what>\w+)\[(?P<row>\d+)\]\.?(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class _Sent:
    first: int
    ids: pa.Array
    answer: Future[int]


class Importing:
    """Of the rows behind `receipt.rows`; `told` hears how many more are acknowledged, each time some are."""

    def __init__(self, collection: Collection, receipt: ImportReceipt, path: Path, told: Callable[[int], None]) -> None:
        self.receipt = receipt
        self._collection, self._path, self._told = collection, path, told
        self._flying: deque[_Sent] = deque()
        self._saved = 0.0

    def run(self, source: Source, columns: Mapping[str, str], spec: CollectionSpec, size: int) -> None:
        """Raises ImportRefused, VectorsError and httpx.HTTPError; the receipt tells what is in the collection."""
        row = self.receipt.rows
        with ThreadPoolExecutor(AT_ONCE, "import") as threads:
            try:
                for rows in source.read(columns, spec, size, row):
                    ids = _ids(rows)
                    while len(self._flying) >= AT_ONCE or any(_meet(ids, sent.ids) for sent in self._flying):
                        self._settle()
                    self._flying.append(_Sent(row, ids, threads.submit(self._send, rows, row)))
                    row += len(ids)
                while self._flying:
                    self._settle()
            finally:
                for sent in self._flying:
                    sent.answer.cancel()
                self.receipt.save(self._path)

    def _settle(self) -> None:
        """The oldest batch is acknowledged, or what is wrong with it is raised."""
        sent = self._flying[0]
        sent.answer.result()
        self._flying.popleft()
        count = len(sent.ids)
        self.receipt = ImportReceipt(self.receipt.sha256, sent.first + count, sent.ids[-1].as_py())
        self._told(count)
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._saved = time.monotonic()
            self.receipt.save(self._path)

    def _send(self, rows: Rows, first: int) -> int:
        until = time.monotonic() + PATIENCE_SECONDS
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                if isinstance(rows, pa.Table):
                    return self._collection.upsert_table(rows)
                return self._collection.upsert(rows)
            except VectorsError as error:
                if error.status == 400:
                    raise ImportRefused(in_the_file(str(error), first)) from error
                if error.status not in _PASSING or time.monotonic() > until:
                    raise
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
            time.sleep(pause)
        raise AssertionError("the pauses never end")


def _ids(rows: Rows) -> pa.Array:
    if isinstance(rows, pa.Table):
        return rows.column(ID).combine_chunks()
    ids = [one.get(ID) for one in rows]
    try:
        return pa.array(ids)
    except pa.ArrowException:  # some are no ids, as the answer will say
        return pa.array(map(str, ids))


def _meet(ids: pa.Array, others: pa.Array) -> bool:
    return ids.type == others.type and bool(pc.any(pc.is_in(ids, others), min_count=0).as_py())


def in_the_file(message: str, first: int) -> str:
    """The row as it is counted in the file, from 1."""
    match = _ROW.match(message)
    if match is None:
        return message
    what = "" if match["what"] == "points" else f"{match['what']}: "
    return f"row {first + int(match['row']) + 1}: {what}{match['rest'].lstrip(': ')}"
