"""What follows an attempt that failed: the same backend again, another one, or the end. Pure.

Retries and fallbacks are one budget of attempts under one deadline, so that neither multiplies the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serve_apps.gateway.backends.fault import Fault, Meaning
from serve_apps.gateway.errors import ApiError

FIRST_DELAY_SECONDS = 0.1
"""Before the same backend is asked again for the first time; then twice as long each time."""
MOST_DELAY_SECONDS = 2.0
MOST_DOUBLINGS = 16
PATIENCE_SECONDS = 5.0
"""A longer `Retry-After` is handed to the client: it knows better whether to wait, and holds nothing here meanwhile."""
SPREAD = 0.1
"""Requests that wait for the same moment come back over this part of their wait, at the most, and not all at once."""
LEAST_SECONDS = 0.1
"""An attempt that has less time than this left is not begun: it would cost and not answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`retry_count` attempts may follow a request's first one, wherever they go; all end `total_s` after its start."""

    retry_count: int
    total_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """A request after an attempt that failed. `faults` are those of all its attempts, the last one last, `here` of them
    in a row at the last one's backend, which is closed for `closed_s` more seconds (0: it may be asked now; inf: nobody
    knows). `rest` backends were not tried yet that may be. `elapsed_s` since the request's start.
    """

    faults: Sequence[Fault]
    here: int
    rest: int
    closed_s: float
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Again:
    """The same backend after `delay_s`; the attempt may then take `left_s`. Seconds. Where the backend does not let it
    begin even then, no attempt was made: decide anew.
    """

    delay_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Next:
    """The next backend in the order that lets it begin, at once; the attempt may take `left_s` seconds."""

    left_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The client is told `error`; where it has some of the answer already, as the stream's last event."""

    error: ApiError


def decide(progress: Progress, limits: Limits, jitter: float) -> Again | Next | GiveUp:
    """What follows. `jitter` is from 0 to 1, drawn anew.

    Each backend of the order has its turn before one is asked twice: another one answers now. Only attempts that are to
    spare go to the same one first, after a failure that passes: a broken connection need not change the model.
    """
    fault = progress.faults[-1]
    meaning = fault.meaning
    retries = limits.retry_count + 1 - len(progress.faults)
    if fault.delivered or meaning is Meaning.REQUEST or retries <= 0:
        return GiveUp(_last_word(progress.faults))
    left_s = limits.total_s - progress.elapsed_s
    delay_s = _delay(progress.here, progress.closed_s, jitter)
    patient = progress.closed_s <= PATIENCE_SECONDS and left_s - delay_s >= LEAST_SECONDS
    to_spare = meaning is Meaning.PASSING and retries > progress.rest and progress.closed_s <= 0
    if patient and meaning is not Meaning.DENIED and (to_spare or not progress.rest):
        return Again(delay_s, left_s - delay_s)
    if progress.rest and left_s >= LEAST_SECONDS:
        return Next(left_s)
    return GiveUp(_last_word(progress.faults))


def _delay(here: int, closed_s: float, jitter: float) -> float:
    """Half of it is drawn: many requests that failed together do not come back together."""
    longest = min(FIRST_DELAY_SECONDS * 2.0 ** min(here - 1, MOST_DOUBLINGS), MOST_DELAY_SECONDS)
    return max(longest * (1 - jitter / 2), closed_s * (1 + SPREAD * jitter))


def _last_word(faults: Sequence[Fault]) -> ApiError:
    """Of what the attempts found, what tells the client most: what is wrong with its request, a failure, when a backend
    will have time for it; that one does not take our key only where there is nothing else.
    """
    if faults[-1].delivered or faults[-1].meaning is Meaning.REQUEST:
        return faults[-1].error
    failed = [fault for fault in faults if fault.meaning in (Meaning.PASSING, Meaning.SILENT)]
    busy = [fault for fault in faults if fault.meaning is Meaning.BUSY]
    if failed or not busy:
        return (failed or faults)[-1].error
    return min(busy, key=lambda fault: fault.closed_s).error
