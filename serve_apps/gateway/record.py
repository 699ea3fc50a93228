"""What is kept of a request when it has ended: for the figures, the log and the spans. Pure.

Nothing of its content is, and no secret.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from control.route_traffic import Outcome
from serve_apps.gateway.call import Call
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.errors import ApiError

CLIENT_LEFT = 499
"""nginx's status for a request whose client left before anything was answered; no client ever sees it."""
BUDGET_CODES = frozenset({"insufficient_quota", "budget_unverified"})


class Record(NamedTuple):
    """`at` is when it began, in seconds since 1970, and `took_s` how long it took; `first_s` is the time to the first
    content of a stream, None of what is none. `asked` is the model by the name that the client asked for; `backend` who
    answered or failed last, empty where nobody was asked. `code` is that of the error, if it ended so. `cost` and
    `saved` are nano-dollars, `received` and `sent` bytes of the bodies.
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
    received: int
    sent: int


def record_of(call: Call, error: BaseException | None, now: float, at: float) -> Record:
    """Of a request that ended, by `error` if there is one. `now` is on the monotonic clock, `at` the same moment in
    seconds since 1970.
    """
    answer = call.answer
    status, outcome, code = _ending(call, error)
    streams = call.request.document.get("stream") is True
    usage, took_s = call.took(), now - call.began
    return Record(
        at - took_s,
        took_s,
        answer.first_at - call.began if streams and answer.first_at is not None else None,
        answer.request_id,
        call.asked.path,
        call.key.name,
        call.key.organization,
        call.route.name if call.route else "",
        call.asked.model,
        call.answerer,
        status,
        outcome,
        code,
        tuple(call.attempts),
        usage,
        call.cost(usage),
        call.hit,
        call.saved,
        len(call.asked.raw),
        answer.sent,
    )


def _ending(call: Call, error: BaseException | None) -> tuple[int, Outcome, str]:
    """The status that the client has, how it ended, and the error's code."""
    answer = call.answer
    if isinstance(error, asyncio.CancelledError):
        return answer.status or CLIENT_LEFT, Outcome.CLIENT_LEFT, "client_left"
    if answer.started and (error is not None or call.taken.cut):
        return answer.status, Outcome.CUT, "stream_interrupted"
    if error is None:
        return answer.status, Outcome.OK, ""
    if not isinstance(error, ApiError):
        return 500, Outcome.SERVER_ERROR, "internal_error"
    if error.code in BUDGET_CODES and not call.backend:
        return error.status, Outcome.OVER_BUDGET, error.code
    if error.status >= 500:
        return error.status, Outcome.SERVER_ERROR, error.code
    return error.status, Outcome.RATE_LIMITED if error.status == 429 else Outcome.CLIENT_ERROR, error.code
