"""The built-in knowledge: status codes and error names out of Python's standard library.

Pure apart from the C library's own message table (`os.strerror`, `signal.strsignal`), so the set is the same
on every machine with the same operating system; the data set's digest tells two such sets apart.
"""

from __future__ import annotations

import errno
import http
import os
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """One thing worth asking: `key` (as in "404", "ENOENT", "SIGKILL") means `answer`, within its
    `family`."""

    family: str
    key: str
    answer: str


def all_facts() -> tuple[Fact, ...]:
    """Every fact, sorted by family and key; no key stands twice, so a key alone settles the answer."""
    found = [Fact("http", str(status.value), status.phrase) for status in http.HTTPStatus]
    found += [Fact("errno", name, os.strerror(number)) for number, name in errno.errorcode.items()]
    found += [Fact("signal", one.name, signal.strsignal(one) or one.name) for one in signal.Signals]
    return tuple(sorted(found, key=lambda fact: (fact.family, fact.key)))
