"""One request at one backend: sent, and its answer passed on from its first real content on. Stores nothing."""

from __future__ import annotations

import asyncio
import email.utils
import json
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from serve_apps.gateway.answer import JSON, Sink
from serve_apps.gateway.backends.fault import MOST_BUSY_SECONDS, Fault
from serve_apps.gateway.backends.outgoing import Outgoing
from serve_apps.gateway.backends.relay import Relay
from serve_apps.gateway.dialects.error_object import status_of
from serve_apps.gateway.errors import (
    Failure,
    FilterError,
    model_unavailable,
    upstream_timeout,
)
from serve_apps.gateway.relaying import pass_on
from serve_apps.gateway.stream import STREAM_CUT
from serve_apps.gateway.table import BackendSpec
from serve_apps.gateway.taken import Taken
from serve_apps.gateway.upstream_error import of_provider
from serve_apps.gateway.wire import Headers, Origin, Wire, Wires, locate

SSE = (b"content-type", b"text/event-stream; charset=utf-8")
POLICY = ("content_policy", "content_filter", "content_management", "safety")
"""What the code of an error says where a provider refuses the content: another one is not asked instead."""


SPENT = "insufficient_quota"
"""The code of OpenAI's 429 that no waiting helps against."""


class Failed(Exception):
    """The attempt did not end well."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


async def attempt(
    wires: Wires,
    spec: BackendSpec,
    out: Outgoing,
    answer: Sink,
    taken: Taken,
    headers: Headers,
    timeout_s: float,
    left_s: float,
) -> None:
    """Passes the answer on, with `headers`; `taken` counts what it took. `timeout_s` bounds connecting, the wait for
    the first content and each silence, `left_s` all of it. What a kept connection lost that its peer had closed
    meanwhile is sent once more, on a new one.

    Raises Failed. Where something was delivered by then, the answer has its error event. A client that does not read is
    waited for: who calls bounds that.
    """
    until = asyncio.get_running_loop().time() + left_s
    wire = await _connected(wires.to, spec, out.path, min(timeout_s, left_s))
    _, host, path = locate(spec.url + out.path)
    head = [b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\n" % (path, host)]
    head += [b"%b: %b\r\n" % header for header in out.headers]
    head += [b"content-length: %d\r\n\r\n" % len(out.body), out.body]
    request = b"".join(head)
    first_until = min(until, asyncio.get_running_loop().time() + timeout_s)
    try:
        try:
            await wire.ask(request, timeout_s, until)
        except ConnectionError:
            if not wire.stale:
                raise
            # That is no fault of the backend's: providers close what was idle for long when they like.
            connect_s = first_until - asyncio.get_running_loop().time()
            wire = await _connected(wires.fresh, spec, out.path, connect_s)
            await wire.ask(request, timeout_s, until)
        if wire.status != 200:
            raise _refused(spec, wire, await wire.rest())
        if any(name == b"content-type" and b"event-stream" in kind for name, kind in wire.headers):
            await _relayed(spec, wire, out.relay(taken), answer, headers, first_until)
        else:
            body = _whole(spec, out, await wire.rest(), taken)
            await answer.whole(200, body, [JSON, *headers])
    except FilterError as refused:
        raise Failed(Fault(Failure.FAILED, refused, refused=True, delivered=answer.started)) from None
    except TimeoutError:
        raise Failed(Fault(Failure.SILENT, upstream_timeout(spec.name), delivered=answer.started)) from None
    except ConnectionError:
        raise _failed(spec, Failure.BROKEN, "it broke off", delivered=answer.started) from None
    except ValueError:
        raise _failed(spec, Failure.FAILED, "its answer cannot be read", 502, delivered=answer.started) from None
    finally:
        wires.give_back(wire)


async def _connected(
    connect: Callable[[Origin, float], Awaitable[Wire]], spec: BackendSpec, path: str, timeout_s: float
) -> Wire:
    """Raises Failed."""
    try:
        return await connect(locate(spec.url + path)[0], timeout_s)
    except TimeoutError:
        raise _failed(spec, Failure.UNREACHED, "it does not accept connections") from None
    except (OSError, ValueError) as error:  # the latter of a name that no name server can be asked for
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise _failed(spec, Failure.UNREACHED, f"it cannot be reached ({why})") from None


async def _relayed(
    spec: BackendSpec, wire: Wire, relay: Relay, answer: Sink, headers: Headers, first_until: float
) -> None:
    trouble = await pass_on(wire, relay, answer, [SSE, *headers], first_until)
    if relay.whole and not isinstance(trouble, ValueError):
        return
    if relay.told is not None:
        raise Failed(_fault_of(spec, *relay.told, delivered=answer.started))
    failure = Failure.SILENT if isinstance(trouble, TimeoutError) else Failure.BROKEN
    if answer.started:
        told_client = STREAM_CUT
    elif failure is Failure.SILENT:
        told_client = upstream_timeout(spec.name)
    else:
        told_client = model_unavailable(spec.name, f"its stream broke off: {trouble or 'it has no end'}")
    raise Failed(Fault(failure, told_client, delivered=answer.started))


def _whole(spec: BackendSpec, out: Outgoing, body: bytes, taken: Taken) -> bytes:
    """The answer as a chat's. Raises ValueError for what is no answer, Failed for an error that has status 200."""
    try:
        document: Any = json.loads(body.decode())
        if not isinstance(document, dict):
            raise ValueError("no object")
        if document.get("error"):
            raise Failed(_fault_of(spec, status_of(document), body))
        taken.answered = len(body)
        taken.usage = out.usage(told) if isinstance(told := document.get("usage"), dict) else None
        return json.dumps(out.whole(document)).encode() if out.whole else body
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(spec: BackendSpec, wire: Wire, body: bytes) -> Failed:
    told = next((value for name, value in wire.headers if name == b"retry-after"), None)
    return Failed(_fault_of(spec, wire.status, body, seconds_of(told)))


def _fault_of(
    spec: BackendSpec, status: int, body: bytes, retry_after_s: float | None = None, *, delivered: bool = False
) -> Fault:
    """What an error of the backend's means, which has the `status` or stands for it."""
    error = of_provider(spec.name, status, body)
    if retry_after_s is not None and error.status in (429, 503):
        error.headers = ((b"retry-after", b"%d" % math.ceil(min(retry_after_s, MOST_BUSY_SECONDS))),)
    refused = any(word in error.code for word in POLICY)
    spent = error.code == SPENT
    if spent:
        error = model_unavailable(spec.name, "our account there has no money left")
    return Fault(Failure.FAILED, error, status, retry_after_s, refused, delivered, spent)


def seconds_of(retry_after: bytes | None) -> float | None:
    """A `Retry-After` in seconds from now, None where there is none that can be read."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after.decode("latin-1")).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _failed(
    spec: BackendSpec, failure: Failure, why: str, status: int | None = None, *, delivered: bool = False
) -> Failed:
    return Failed(Fault(failure, model_unavailable(spec.name, why), status, delivered=delivered))
