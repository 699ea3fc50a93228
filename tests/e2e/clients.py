"""People who use a model all the time: streams asked for without pause, and how each one ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.e2e.plane import Plane

DONE = "data: [DONE]"


@dataclass(frozen=True)
class Answer:
    """`status` 0: no answer at all. `error` is what went wrong, in words; `told` whether the client was told so.

    Times in seconds; `first` is None where nothing came.
    """

    status: int
    began: float
    took: float
    first: float | None
    version: str = ""
    replica: str = ""
    error: str = ""
    told: bool = False


@dataclass
class Clients:
    """So many clients at once; `answers` in the order in which they ended."""

    plane: Plane
    model: str
    count: int = 8
    tokens: int = 16
    answers: list[Answer] = field(default_factory=list)

    @contextmanager
    def using(self) -> Iterator[list[Answer]]:
        """They ask until the block is left; then each waits for its last answer."""
        over = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._ask_until(over)), daemon=True)
        thread.start()
        try:
            yield self.answers
        finally:
            over.set()
            thread.join(timeout=180)
            assert not thread.is_alive(), "a client still waits"

    async def _ask_until(self, over: threading.Event) -> None:
        async with httpx.AsyncClient(timeout=150, limits=httpx.Limits(max_connections=None)) as client:
            await asyncio.gather(*(self._ask_again(client, over) for _ in range(self.count)))

    async def _ask_again(self, client: httpx.AsyncClient, over: threading.Event) -> None:
        while not over.is_set():
            self.answers.append(await self.ask(client))

    async def ask(self, client: httpx.AsyncClient) -> Answer:
        url = f"{self.plane.client.settings.gateway_url}/v1/chat/completions"
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": self.tokens,
            "ignore_eos": True,
            "stream": True,
        }
        headers = {"Authorization": f"Bearer {self.plane.key}"}
        began, first, lines = time.monotonic(), None, []
        status, version, replica, error = 0, "", "", ""
        try:
            async with client.stream("POST", url, json=body, headers=headers) as r:
                status = r.status_code
                version, replica = r.headers.get("x-biplane-version", ""), r.headers.get("x-biplane-replica", "")
                async for line in r.aiter_lines():
                    if line:
                        first = first or time.monotonic() - began
                        lines.append(line)
        except httpx.HTTPError as broken:
            error = repr(broken)
        told = any(line.startswith(('data: {"error"', '{"error"')) for line in lines)
        if not error and (status != 200 or told or lines[-1:] != [DONE]):
            error = lines[-1] if lines else f"nothing came, status {status}"
        return Answer(status, began, time.monotonic() - began, first, version, replica, error, told)


def errors(answers: list[Answer]) -> Counter[str]:
    return Counter(f"{answer.status} {answer.error[:200]}" for answer in answers if answer.error)
