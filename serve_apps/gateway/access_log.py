"""One line of JSON for each request for a model that ended, in a file of this replica; never anything of its content.

A thread writes them, a few times a second; what it cannot keep up with, or the disk does not take, is left out and
counted. A file that is full is put aside and the oldest one is deleted, as are those of replicas that are long gone. A
crash loses the lines of the last quarter of a second.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from control.price import NANO
from serve_apps.gateway.record import Record

PERIOD_SECONDS = 0.25
MOST_WAITING = 10_000
MOST_AT_ONCE = 256
"""Lines that are written in one go: a file is longer than it should be by no more."""
MOST_BYTES = 32 * 2**20
FORMER_FILES = 3
"""Full files of one replica that are kept beside the one that is written."""
MOST_FILES = 32
"""Of all replicas, the newest: each that is started has another name."""
PREFIX = "gateway-access-"


class AccessLog:
    """In `directory`, which is made where there is none. Between `open` and `close` lines are written."""

    def __init__(self, directory: Path, replica: str) -> None:
        self.dropped = 0
        self._directory = directory
        self._path = directory / f"{PREFIX}{replica}.jsonl"
        self._waiting: deque[Record] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Returns when what waits is written. It blocks: call it in a thread."""
        self._closing.set()
        self._thread.join()

    def write(self, record: Record) -> None:
        """Never blocks."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(record)
        else:
            self.dropped += 1

    def _run(self) -> None:
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            _clear(self._directory)
        file = _File(self._path, maxBytes=MOST_BYTES, backupCount=FORMER_FILES, encoding="utf-8", delay=True)
        while not self._closing.wait(PERIOD_SECONDS):
            self._drain(file)
        self._drain(file)
        file.close()

    def _drain(self, file: RotatingFileHandler) -> None:
        while self._waiting:
            count = min(len(self._waiting), MOST_AT_ONCE)
            lines = [json.dumps(line_of(self._waiting.popleft()), separators=(",", ":")) for _ in range(count)]
            try:
                file.emit(logging.makeLogRecord({"msg": "\n".join(lines)}))
            except OSError:
                self.dropped += count


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        raise  # logging calls it where it caught an exception, which it would only print


def line_of(record: Record) -> dict[str, Any]:
    """What is written of a request. Times in milliseconds, money in dollars; null where there is none."""
    usage, first_s = record.usage, record.first_s
    return {
        "time": datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds"),
        "request_id": record.request_id,
        "key": record.key,
        "organization": record.organization,
        "path": record.path,
        "route": record.route or None,
        "model": record.asked or None,
        "backend": record.backend or None,
        "status": record.status,
        "outcome": record.outcome.value,
        "error": record.code or None,
        "duration_ms": round(1000 * record.took_s, 3),
        "ttft_ms": None if first_s is None else round(1000 * first_s, 3),
        "prompt_tokens": usage.prompt,
        "cached_tokens": usage.cached,
        "completion_tokens": usage.completion,
        "cost_dollars": record.cost / NANO,
        "cache": record.hit or None,
        "attempts": record.attempts,
        "bytes_in": record.received,
        "bytes_out": record.sent,
    }


def _clear(directory: Path) -> None:
    files = sorted(directory.glob(f"{PREFIX}*.jsonl*"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MOST_FILES:]:
        file.unlink(missing_ok=True)
