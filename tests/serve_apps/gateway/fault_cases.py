"""What can go wrong at a backend, as scripts, and what a client is to see of it: a column each."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.serve_apps.gateway.scripted import STREAM, Dialect, Script, Talk, head, response, sse

SILENCE_SECONDS = 0.5
"""What the routes of these tests allow a backend to say nothing for."""
SOON, SILENT = 0.4, SILENCE_SECONDS + 0.4
HUGE = 8 << 20


@dataclass(frozen=True)
class Case:
    """Where the backend is alone, the client sees `status` and the error `code` (empty: the backend's answer), no later
    than `within_s`; where another one follows, its answer if `falls_back`. A backend that is `busy` is left alone then.
    What is `billed` is nothing, a part or all of the answer; of one that is whole, tokens as `told`, or estimated.
    """

    name: str
    script: Callable[[Dialect], Script]
    status: int
    code: str
    within_s: float = SOON
    falls_back: bool = True
    busy: bool = False
    told: bool = True

    @property
    def billed(self) -> Literal["nothing", "part", "all"]:
        if self.status != 200:
            return "nothing"
        return "part" if self.code else "all"


def says(*parts: bytes, then_hang: bool = False, then_reset: bool = False) -> Script:
    """After a request these bytes, in so many pieces, and then the connection's end."""

    async def script(talk: Talk) -> None:
        await talk.request()
        for part in parts:
            await talk.send(part)
            await asyncio.sleep(0.005)
        if then_hang:
            await talk.hang()
        if then_reset:
            talk.reset()

    return script


async def hang(talk: Talk) -> None:
    await talk.hang()


async def slam(talk: Talk) -> None:
    await talk.request()
    talk.reset()


def dripping(before: bytes, drops: bytes) -> Script:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(before)
        await talk.drip(drops, 0.05)

    return script


def stream(*parts: bytes, then_hang: bool = False, then_reset: bool = False) -> Script:
    return says(head(), *parts, then_hang=then_hang, then_reset=then_reset)


def refusal(status: int, code: str, kind: str, **headers: str) -> Callable[[Dialect], Script]:
    return lambda api: says(response(status, api.error(code, kind), **headers))


def _cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def _huge(api: Dialect) -> bytes:
    return api.first.replace(b"Hello", b"x" * HUGE)


UNAVAILABLE, LATE, CUT = "model_unavailable", "upstream_timeout", "stream_interrupted"

ALWAYS = [
    Case("accepts and hangs", lambda _: hang, 504, LATE, SILENT),
    Case("reads the request and hangs", lambda _: says(then_hang=True), 504, LATE, SILENT),
    Case("reads the request and resets", lambda _: slam, 503, UNAVAILABLE),
    Case("half a head and hangs", lambda _: says(head()[:20], then_hang=True), 504, LATE, SILENT),
    Case("half a head and closes", lambda _: says(head()[:20]), 503, UNAVAILABLE),
    Case("speaks no HTTP", lambda _: says(b"220 mail.example.org ESMTP\r\n"), 503, UNAVAILABLE),
    Case("changes the protocol", lambda _: says(head(101, connection="upgrade", upgrade="h2c")), 503, UNAVAILABLE),
    Case("leads elsewhere", refusal(302, "moved", "moved"), 503, UNAVAILABLE),
    Case("429", refusal(429, "rate_limit_exceeded", "rate_limit_error"), 429, "rate_limit", busy=True),
    Case(
        "429 with Retry-After",
        refusal(429, "rate_limit_exceeded", "rate_limit_error", retry_after="7"),
        429,
        "rate_limit",
        busy=True,
    ),
    Case("429 of a proxy", lambda _: says(response(429, b"slow down")), 429, "rate_limit", busy=True),
    Case("500", refusal(500, "server_error", "api_error"), 503, UNAVAILABLE),
    Case("401", refusal(401, "invalid_api_key", "authentication_error"), 503, UNAVAILABLE),
    Case(
        "refuses the content",
        refusal(400, "content_policy_violation", "content_policy_violation"),
        400,
        "content_policy_violation",
        falls_back=False,
    ),
    Case("400 without a word", lambda _: says(response(400, b"<html>")), 400, "invalid_request", falls_back=False),
    Case(
        "an error with status 200",
        lambda api: says(response(200, api.error("server_error", "api_error"))),
        503,
        UNAVAILABLE,
    ),
    Case(
        "a refusal with status 200",
        lambda api: says(response(200, api.error("invalid_request_error", "invalid_request_error"))),
        400,
        "invalid_request_error",
        falls_back=False,
    ),
    Case("an error of text with status 200", lambda _: says(response(200, {"error": "boom"})), 503, UNAVAILABLE),
]
"""Whether a stream was asked for or not."""

WHOLE = [
    Case("head and hangs", lambda _: says(head(content_length="9"), then_hang=True), 504, LATE, SILENT),
    Case(
        "half a document and hangs",
        lambda api: says(_cut(response(200, api.whole)), then_hang=True),
        504,
        LATE,
        SILENT,
    ),
    Case(
        "half a document and resets",
        lambda api: says(_cut(response(200, api.whole)), then_reset=True),
        503,
        UNAVAILABLE,
    ),
    Case("half a document and closes", lambda api: says(_cut(response(200, api.whole))), 503, UNAVAILABLE),
    Case(
        "half a document of no length",
        lambda api: says(head(content_type="application/json"), _cut(json.dumps(api.whole).encode())),
        503,
        UNAVAILABLE,
    ),
    Case("no document", lambda _: says(response(200, b"")), 503, UNAVAILABLE),
    Case("a list", lambda _: says(response(200, [])), 503, UNAVAILABLE),
    Case("a document too deep", lambda _: says(response(200, b"[" * 100_000)), 503, UNAVAILABLE),
    Case(
        "a document that is no UTF-8",
        lambda api: says(response(200, json.dumps(api.whole).encode().replace(b"Hello", b"H\xff\xfe"))),
        503,
        UNAVAILABLE,
    ),
    Case(
        "another length than it says",
        lambda api: says(response(200, json.dumps(api.whole).encode() + b"xx", content_length="9")),
        503,
        UNAVAILABLE,
    ),
    Case("no usage", lambda api: says(response(200, api.whole | {"usage": None})), 200, "", told=False),
    Case(
        "wrong usage",
        lambda api: says(response(200, api.whole | {"usage": {"prompt_tokens": -1, "input_tokens": "many"}})),
        200,
        "",
        told=False,
    ),
    Case(
        "a huge document",
        lambda api: says(response(200, json.dumps(api.whole | {"more": "x" * HUGE}).encode())),
        200,
        "",
        within_s=6,
    ),
]

STREAMED = [
    Case("head and hangs", lambda _: stream(then_hang=True), 504, LATE, SILENT),
    Case("no content and hangs", lambda api: stream(api.before, then_hang=True), 504, LATE, SILENT),
    Case("no content and closes", lambda api: stream(api.before), 503, UNAVAILABLE),
    Case("no content and resets", lambda api: stream(api.before, then_reset=True), 503, UNAVAILABLE),
    Case("nothing at all", lambda _: stream(), 503, UNAVAILABLE),
    Case("comments only", lambda _: dripping(head(), b":\n" * 40), 504, LATE, SILENT),
    Case("first event byte by byte", lambda api: dripping(head(), api.before), 504, LATE, SILENT),
    Case(
        "an error before content",
        lambda api: stream(api.before, sse(api.error("server_error", "api_error")), then_hang=True),
        503,
        UNAVAILABLE,
        SILENT,
    ),
    Case(
        "a refusal before content",
        lambda api: stream(api.before, sse(api.error("invalid_request_error", "invalid_request_error"))),
        400,
        "invalid_request_error",
        falls_back=False,
    ),
    Case("no JSON before content", lambda api: stream(b'data: {"cho\n\n', api.end), 503, UNAVAILABLE),
    Case("JSON too deep before content", lambda _: stream(b"data: " + b"[" * 100_000 + b"\n\n"), 503, UNAVAILABLE),
    Case("a list before content", lambda _: stream(b"data: []\n\n"), 503, UNAVAILABLE),
    Case("a huge event before content", lambda api: stream(api.before, _huge(api), api.end), 503, UNAVAILABLE, 2),
    Case("first word and hangs", lambda api: stream(api.before, api.first, then_hang=True), 200, CUT, SILENT, False),
    Case("first word and closes", lambda api: stream(api.before, api.first), 200, CUT, falls_back=False),
    Case(
        "first word and resets",
        lambda api: stream(api.before, api.first, then_reset=True),
        200,
        CUT,
        falls_back=False,
    ),
    Case(
        "cut within an event", lambda api: stream(api.before, api.first, _cut(api.second)), 200, CUT, falls_back=False
    ),
    Case(
        "cut within a chunk of HTTP",
        lambda api: says(
            head(content_type=STREAM, transfer_encoding="chunked"),
            b"%x\r\n%b\r\n" % (len(api.before + api.first), api.before + api.first),
            b"ff\r\ndata:",
        ),
        200,
        CUT,
        falls_back=False,
    ),
    Case("no end", lambda api: stream(api.before, api.first, api.second), 200, CUT, falls_back=False),
    Case(
        "an end without the last event",
        lambda api: stream((api.before + api.first + api.end).rstrip().rpartition(b"\n\n")[0], b"\n\n"),
        200,
        CUT,
        falls_back=False,
    ),
    Case(
        "an error after content",
        lambda api: stream(api.before, api.first, sse(api.error("oops", "api_error")), api.end),
        200,
        "oops",
        falls_back=False,
    ),
    Case(
        "an error in other fields' company",
        lambda api: stream(api.before, api.first, sse({"id": "1", **api.error("oops", "api_error")}), api.end),
        200,
        "oops",
        falls_back=False,
    ),
    Case("a huge event", lambda api: stream(api.before, api.first, _huge(api), api.end), 200, CUT, 2, False),
    Case("a line without an end", lambda api: stream(api.before, api.first, b"x" * HUGE), 200, CUT, 2, False),
    Case(
        "a huge chunk of events",
        lambda api: stream(api.before, api.first * ((1 << 20) // len(api.first)), api.end),
        200,
        "",
        within_s=6,
        told=False,
    ),
    Case(
        "no UTF-8 in a chunk",
        lambda api: stream(api.before, api.first.replace(b"Hello", b"Hello\xff"), api.second, api.end),
        200,
        "",
    ),
    Case("no usage", lambda api: stream(api.stream.replace(b'"usage"', b'"used"')), 200, "", told=False),
    Case(
        "wrong usage",
        lambda api: stream(api.stream.replace(b'"output_tokens": 2', b'"output_tokens": -2')),
        200,
        "",
        told=False,
    ),
    Case("lines that end in CRLF", lambda api: stream(api.stream.replace(b"\n", b"\r\n")), 200, ""),
    Case("no space after data:", lambda api: stream(api.stream.replace(b"data: ", b"data:")), 200, ""),
    Case("a comment after the end", lambda api: stream(api.stream, b": bye\n\n"), 200, ""),
]
