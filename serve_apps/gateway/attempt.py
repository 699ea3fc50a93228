"""One request at one backend: sent, and its answer passed on from its first real content on. Stores nothing."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from typing import Any

from serve_apps.gateway.answer import JSON, Answer
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.outgoing import Outgoing
from serve_apps.gateway.backends.relay import Relay
from serve_apps.gateway.errors import ApiError, Failure, model_unavailable, upstream_timeout
from serve_apps.gateway.stream import STREAM_CUT
from serve_apps.gateway.table import BackendSpec
from serve_apps.gateway.taken import Taken
from serve_apps.gateway.wire import Headers, Wire, Wires, locate

SSE = (b"content-type", b"text/event-stream; charset=utf-8")
POLICY = ("content_policy", "content_filter", "content_management", "safety")
"""What the code of an error says where a provider refuses the content: another one is not asked instead."""


class Failed(Exception):
    """The attempt did not end well."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


async def attempt(
    wires: Wires,
    spec: BackendSpec,
    out: Outgoing,
    answer: Answer,
    taken: Taken,
    headers: Headers,
    timeout_s: float,
    left_s: float,
) -> None:
    """Passes the answer on, with `headers`; `taken` counts what it took. `timeout_s` bounds connecting and each
    silence, `left_s` all of it.

    Raises Failed. Where something was delivered by then, the answer has its error event.
    """
    until = asyncio.get_running_loop().time() + left_s
    origin, host, path = locate(spec.url + out.path)
    try:
        wire = await wires.to(origin, min(timeout_s, left_s))
    except TimeoutError:
        raise _failed(spec, Failure.UNREACHED, "it does not accept connections") from None
    except OSError as error:
        raise _failed(spec, Failure.UNREACHED, f"it cannot be reached ({error.strerror or error})") from None
    head = [b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\n" % (path, host)]
    head += [b"%b: %b\r\n" % header for header in out.headers]
    head += [b"content-length: %d\r\n\r\n" % len(out.body), out.body]
    try:
        await wire.ask(b"".join(head), timeout_s, until)
        if wire.status != 200:
            raise _refused(spec, wire, await wire.rest())
        if any(name == b"content-type" and b"event-stream" in kind for name, kind in wire.headers):
            await _relayed(spec, wire, out.relay(taken), answer, headers)
        else:
            body = _whole(spec, out, await wire.rest(), taken)
            await answer.whole(200, body, [JSON, *headers])
    except TimeoutError:
        raise Failed(Fault(Failure.SILENT, upstream_timeout(spec.name), delivered=answer.started)) from None
    except ConnectionError:
        raise _failed(spec, Failure.BROKEN, "it broke off", delivered=answer.started) from None
    finally:
        wires.give_back(wire)


async def _relayed(spec: BackendSpec, wire: Wire, relay: Relay, answer: Answer, headers: Headers) -> None:
    """What comes before the first real content waits for it: until then another backend may answer instead."""
    held, trouble = b"", ""
    try:
        while chunk := await wire.chunk():
            held += relay.feed(chunk)
            if held and relay.began:
                if not answer.started:
                    await answer.start(200, [SSE, *headers])
                await answer.part(held)
                held = b""
    except TimeoutError:
        trouble = "it was silent for too long"
    except (ConnectionError, ValueError) as error:
        trouble = f"it broke off: {error}"
    last = held + relay.finish()
    if relay.whole or answer.started:
        if not answer.started:
            await answer.start(200, [SSE, *headers])
        await answer.part(last, last=True)
    if relay.whole:
        return
    if relay.told is not None:
        status, told = relay.told
        raise Failed(Fault(Failure.FAILED, _error_of(spec, status, told), status, delivered=answer.started))
    silent = Failure.SILENT if trouble.startswith("it was") else Failure.BROKEN
    told_client = STREAM_CUT if answer.started else model_unavailable(spec.name, trouble or "its stream has no end")
    raise Failed(Fault(silent, told_client, delivered=answer.started))


def _whole(spec: BackendSpec, out: Outgoing, body: bytes, taken: Taken) -> bytes:
    """The answer as a chat's. Raises Failed for what is no answer, an error with status 200 among it."""
    try:
        document: Any = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("no object")
        if document.get("error"):
            raise Failed(Fault(Failure.FAILED, _error_of(spec, 502, body), 502))
        taken.answered = len(body)
        taken.usage = out.usage(told) if isinstance(told := document.get("usage"), dict) else None
        return json.dumps(out.whole(document)).encode() if out.whole else body
    except (ValueError, RecursionError):
        raise _failed(spec, Failure.FAILED, "its answer cannot be read", 502) from None


def _refused(spec: BackendSpec, wire: Wire, body: bytes) -> Failed:
    error = _error_of(spec, wire.status, body)
    told = next((value for name, value in wire.headers if name == b"retry-after"), None)
    refused = any(word in error.code for word in POLICY)
    return Failed(Fault(Failure.FAILED, error, wire.status, seconds_of(told), refused=refused))


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
    except ValueError:
        return None


def _error_of(spec: BackendSpec, status: int, body: bytes) -> ApiError:
    """What the client is told: a refusal of its request in the provider's words, else that the backend failed."""
    try:
        told = json.loads(body)["error"]
        message, code = str(told["message"]), told.get("code") or told.get("type")
    except (ValueError, LookupError, TypeError, AttributeError):
        return model_unavailable(spec.name, f"it answered {status}")
    if status >= 500 or status in (401, 402, 403, 404):
        return model_unavailable(spec.name, f"it answered {status}")
    named = code if isinstance(code, str) else "invalid_request"
    param = told.get("param")
    return ApiError(status, named, message, param=param if isinstance(param, str) else None)


def _failed(
    spec: BackendSpec, failure: Failure, why: str, status: int | None = None, *, delivered: bool = False
) -> Failed:
    return Failed(Fault(failure, model_unavailable(spec.name, why), status, delivered=delivered))
