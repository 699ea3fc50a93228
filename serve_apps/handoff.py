"""Prompts are read by one engine, answers written by another: the way of a request over the two.

An engine that reads a long prompt makes all answers that it writes meanwhile wait. Where a replica has engines that
only read (`prefill`), the one that writes hands each prompt to one of them, by vLLM's own protocol: the same request
for one token, whose answer tells where the prompt's KV cache is to be fetched. An engine that writes can read too: what
no other one reads, it reads itself. Nothing is stored; a crash breaks the requests in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_apps.internal_key import ENVIRONMENT_VARIABLE

PATHS = frozenset({"/v1/chat/completions", "/v1/completions"})
CONNECT_SECONDS = 0.4
SILENCE_SECONDS = 120.0
FIND_SECONDS = 0.5
"""Between two questions for the address of a reader that is not known, or was not there."""
TRANSFER = "kv_transfer_params"
"""vLLM's word for where a KV cache is. It names hosts, so that no client may say it."""
ASKED = {"do_remote_decode": True, "do_remote_prefill": False}
"""Asks an engine to keep the KV cache of a prompt for another one."""

logger = logging.getLogger("ray.serve")
Find = Callable[[], Awaitable[str]]
"""The address of a reader, without a path. It may raise anything while there is none."""


class Reader:
    """One engine that reads prompts; `url` is empty while nobody knows where it is, and it is looked for."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self.reading = 0
        self.lost()

    def lost(self) -> None:
        self.url = ""
        self._finding = asyncio.create_task(self._search())

    async def _search(self) -> None:
        while True:
            with contextlib.suppress(Exception):  # whatever Serve has: it is asked again
                self.url = await self._find()
                return
            await asyncio.sleep(FIND_SECONDS)


class Handoff:
    """ASGI application: `app`, the engine's own, with prompts that one of the readers has read where one can."""

    def __init__(self, app: ASGIApp, finds: Sequence[Find]) -> None:
        self._app = app
        self._readers = [Reader(find) for find in finds]
        self._client = httpx.AsyncClient(
            headers={
                "authorization": f"Bearer {os.environ[ENVIRONMENT_VARIABLE]}",
                "content-type": "application/json",
            },
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or path not in PATHS or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        raw = await _body(receive)
        if raw is None:
            return None  # the client left
        try:
            asked = json.loads(raw)
        except ValueError:
            asked = None  # the engine's to refuse
        if isinstance(asked, dict):
            raw = await self._read(path, asked, raw)
        rest = [header for header in scope["headers"] if header[0] not in (b"content-length", b"transfer-encoding")]
        headers = [*rest, (b"content-length", b"%d" % len(raw))]
        return await self._app({**scope, "headers": headers}, _replay(raw, receive), send)

    async def _read(self, path: str, asked: dict[str, Any], raw: bytes) -> bytes:
        """The request as the engine that writes gets it."""
        told = [one for one in (asked, asked.get("vllm_xargs")) if isinstance(one, dict)]
        forbidden = [one.pop(TRANSFER) for one in told if TRANSFER in one]
        if not is_shared(asked):
            return json.dumps(asked).encode() if forbidden else raw
        found = await self._ask(path, asked)
        return json.dumps({**asked, TRANSFER: found} if found else asked).encode()

    async def _ask(self, path: str, asked: dict[str, Any]) -> Any:
        """Where the KV cache of the prompt is; None where no reader has read it."""
        tried: list[Reader] = []
        while there := [one for one in self._readers if one.url and one not in tried]:
            reader = min(there, key=lambda one: one.reading)
            tried.append(reader)
            url, reader.reading = reader.url, reader.reading + 1
            try:
                # Not httpx' own JSON: it cannot write all that a client may say, which is no fault of the reader.
                answer = await self._client.post(url + path, content=json.dumps(reading(asked)))
                # What a reader refuses, the engine that writes refuses too, in its own words.
                return answer.json()[TRANSFER] if answer.is_success else None
            except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
                logger.warning("A prompt was not read at %s: %r", url, error)
                if reader.url == url:
                    reader.lost()
            finally:
                reader.reading -= 1
        return None


def is_shared(asked: dict[str, Any]) -> bool:
    """Whether another engine can read the prompt: one prompt for one answer. The KV cache is fetched once only."""
    prompt = asked.get("prompt")
    several = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
    return not several and asked.get("n") in (None, 1) and not asked.get("use_beam_search")


def reading(asked: dict[str, Any]) -> dict[str, Any]:
    """The request that has the prompt of `asked` read and its KV cache kept."""
    rest = {name: value for name, value in asked.items() if name not in ("stream_options", "min_tokens")}
    most = "max_completion_tokens" if "max_completion_tokens" in asked else "max_tokens"
    return {**rest, "max_tokens": 1, most: 1, "stream": False, TRANSFER: ASKED}


async def _body(receive: Receive) -> bytes | None:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(raw: bytes, receive: Receive) -> Receive:
    """The body at once, and then what comes after it: that the client leaves."""
    first = True

    async def replayed() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": raw, "more_body": False}

    return replayed
