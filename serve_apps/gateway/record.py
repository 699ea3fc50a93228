"""What is kept of a request when it has ended: for the figures, the log and the spans. Pure.

Nothing of its content is, and no secret.
"""

from __future__ import annotations

import asyncio
from functools import reduce
from operator import add
from typing import NamedTuple

from control.route_traffic import Outcome
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.body import ClientGone
from serve_apps.gateway.call import Call
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.errors import LONGEST_NAME, ApiError
from serve_apps.gateway.keys import Key

CLIENT_LEFT = 499
"""nginx's status for a request whose client left before anything was answered; no client ever sees it."""
BUDGET_CODES = frozenset({"insufficient_quota", "budget_unverified"})


class Record(NamedTuple):
    """`at` is when it began, in seconds since 1970, and `took_s` how long it took; `first_s` is the time to the first
    content of a stream, None of what is none. `asked` is the model by the name that the client asked for; `backend` who
    answered or failed last, empty where nobody was asked. `code` is that of the error, if it ended so. `cost` and
    `saved` are nano-dollars, `received` and `sent` bytes of the bodies. Of a request that could not be read `asked` is
    empty, and `received` None where its body did not come whole.
    """

    at: float
    took_s: float
    first_s: float | None
    request_id: str
    path: str
    key: str
    organization: str
    route: str
    asked: str
    backend: str
    status: int
    outcome: Outcome
    code: str
    attempts: tuple[str, ...]
    usage: Usage
    cost: int
    hit: str
    saved: int
    received: int | None
    sent: int


class Unread(NamedTuple):
    """A request of which it is not known what it asks for, with its body if that came whole; it `began` on the
    monotonic clock.
    """

    path: str
    key: Key
    raw: bytes | None
    began: float


def record_of(call: Call, answer: Answer, error: BaseException | None, now: float, at: float) -> Record:
    """Of a request that ended, by `error` if there is one; `answer` is what the client has of it. `now` is on the
    monotonic clock, `at` the same moment in seconds since 1970.
    """
    status, outcome, code = _ending(answer, error, call.taken.cut, call.backend)
    asked, took_s, parts = call.asked, now - call.began, (call, *call.continued)
    usage = reduce(add, (part.took() for part in parts))
    streams = asked.document.get("stream") is True
    return Record(
        at - took_s,
        took_s,
        answer.first_at - call.began if streams and answer.first_at is not None else None,
        answer.request_id[:LONGEST_NAME],
        asked.path,
        call.key.name,
        call.key.organization,
        call.route.name if call.route else "",
        asked.model[:LONGEST_NAME],
        call.answerer,
        status,
        outcome,
        code,
        tuple(call.attempts),
        usage,
        sum(part.cost(part.took()) for part in parts),
        call.hit,
        call.saved,
        len(asked.raw),
        answer.sent,
    )


def record_of_unread(request: Unread, answer: Answer, error: BaseException, now: float, at: float) -> Record:
    """As `record_of`, of a request for which nobody was asked."""
    status, outcome, code = _ending(answer, error)
    took_s, key = now - request.began, request.key
    return Record(
        at - took_s,
        took_s,
        None,
        answer.request_id[:LONGEST_NAME],
        request.path,
        key.name,
        key.organization,
        "",
        "",
        "",
        status,
        outcome,
        code,
        (),
        Usage(0, 0, 0, 0, 0),
        0,
        "",
        0,
        None if request.raw is None else len(request.raw),
        answer.sent,
    )


def _ending(
    answer: Answer, error: BaseException | None, cut: bool = False, backend: str = ""
) -> tuple[int, Outcome, str]:
    """The status that the client has, how it ended, and the error's code."""
    if isinstance(error, (asyncio.CancelledError, ClientGone)):
        return answer.status or CLIENT_LEFT, Outcome.CLIENT_LEFT, "client_left"
    if answer.started and (error is not None or cut):
        return answer.status, Outcome.CUT, "stream_interrupted"
    if error is None:
        return answer.status, Outcome.OK, ""
    if not isinstance(error, ApiError):
        return 500, Outcome.SERVER_ERROR, "internal_error"
    if error.code in BUDGET_CODES and not backend:
        return error.status, Outcome.OVER_BUDGET, error.code
    if error.status >= 500:
        return error.status, Outcome.SERVER_ERROR, error.code
    return error.status, Outcome.RATE_LIMITED if error.status == 429 else Outcome.CLIENT_ERROR, error.code
