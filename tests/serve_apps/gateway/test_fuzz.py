"""Requests and backends' answers with anything wrong in them: never a 500, never an exception, always the API's words.

`BIPLANE_FUZZ_CASES` says how many requests; a case that fails names the number that makes it again.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import psutil
import pytest
from starlette.types import Message

from serve_apps.gateway.answer import Answer
from serve_apps.gateway.app import Gateway
from serve_apps.gateway.attempt import Failed, attempt
from serve_apps.gateway.backends.outgoing import outgoing
from serve_apps.gateway.body import RESPONSES, parse_request
from serve_apps.gateway.surface import SURFACES, SurfaceAnswer
from serve_apps.gateway.table import BackendSpec
from serve_apps.gateway.taken import Taken
from serve_apps.gateway.wire import Wires
from tests.serve_apps.gateway.dialects import requests
from tests.serve_apps.gateway.mutations import mutated_bytes, mutated_document, pieces
from tests.serve_apps.gateway.scripted import ANTHROPIC, DIALECTS, OPENAI, STREAM, Dialect, Talk, head, scripted, well
from tests.serve_apps.gateway.test_faults import at, route
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    INTERNAL_KEY,
    KEY,
    MESSAGES,
    Published,
    table,
)

CASES = int(os.environ.get("BIPLANE_FUZZ_CASES", "20000"))
SHARDS = 4
ANSWERS_SHARE = 4
"""For so many requests there is one answer."""
VALID = {
    CHAT: requests.CHAT,
    MESSAGES: requests.ANTHROPIC,
    RESPONSES: requests.RESPONSES,
    COMPLETIONS: requests.COMPLETION,
    EMBEDDINGS: {"model": "m", "input": ["one", "two"]},
}
MODELS = ("m", "any", "tiny")
"""Answered by a backend of OpenAI's dialect, by one of Anthropic's, and by a model that is served here."""
ENDS = (b"[DONE]", b"message_stop", b"response.completed", b"response.incomplete")
GROWTH_BYTES = 64 << 20
LONGEST_SECONDS = 120 + CASES // 50


class Client:
    """Asks the gateway's application, and keeps what it was sent."""

    def __init__(self, body: bytes = b"") -> None:
        self.status = 0
        self.body = b""
        self.ended = False
        self._messages = [{"type": "http.request", "body": body}]

    async def receive(self) -> Message:
        if not self._messages:
            await asyncio.get_running_loop().create_future()
        return self._messages.pop()

    async def send(self, message: Message) -> None:
        assert not self.ended
        if message["type"] == "http.response.start":
            assert not self.status
            self.status = message["status"]
            return
        assert self.status
        self.body += message["body"]
        self.ended = not message.get("more_body", False)

    async def ask(self, gateway: Gateway, path: str) -> None:
        headers = [(b"authorization", b"Bearer " + KEY.encode()), (b"x-request-id", b"mine")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        await gateway(scope, self.receive, self.send)
        assert self.ended


@asynccontextmanager
async def application() -> AsyncIterator[Gateway]:
    """The gateway without a server, in front of backends that are well."""
    async with scripted(well(OPENAI)) as one, scripted(well(ANTHROPIC)) as two:
        named = [route(path, "m", at(OPENAI, one), pool_size=9) for path in VALID]
        others = [{**route(path, "", at(ANTHROPIC, two), pool_size=9), "model": None} for path in VALID]
        published = Published(table(one.url, routes=named + others, max_body_bytes=1 << 18))
        published.put_key("admin", KEY)
        gateway = Gateway(published.doors(), INTERNAL_KEY)
        ending, started = asyncio.Event(), asyncio.Event()
        words = iter([started, ending])

        async def receive() -> Message:
            if next(words) is ending:
                await ending.wait()
            return {"type": "lifespan"}

        async def send(_: Message) -> None:
            started.set()

        living = asyncio.create_task(gateway({"type": "lifespan"}, receive, send))
        await started.wait()
        yield gateway
        ending.set()
        await living


def check_refusal(path: str, body: bytes) -> None:
    told = json.loads(body)
    if path == MESSAGES:
        assert (told["type"], set(told["error"])) == ("error", {"type", "message"})
    else:
        assert set(told["error"]) == {"message", "type", "param", "code"}
    assert told["error"]["message"]
    assert told["error"]["type"]


@pytest.mark.timeout(LONGEST_SECONDS)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_a_request_says_it_is_answered_or_refused_in_the_api_s_words(
    shard: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ONE", "sk-one")
    caplog.set_level(logging.WARNING)

    async def story() -> None:
        seen: set[int] = set()
        before = 0
        async with application() as gateway:
            for number, case in enumerate(range(shard, CASES, SHARDS)):
                random = Random(case)
                path, model = random.choice(list(VALID)), random.choice(MODELS)
                document = {**VALID[path], "model": model, "stream": random.random() < 0.3}
                if random.random() < 0.75:
                    raw = mutated_document(random, document)
                else:
                    raw = mutated_bytes(random, json.dumps(document).encode())
                client = Client(raw)
                await client.ask(gateway, path)
                assert client.status in (200, 400, 404, 413), (case, client.status, client.body, raw[:500])
                if client.status != 200:
                    check_refusal(path, client.body)
                assert not caplog.records, (case, raw[:500])
                seen.add(client.status)
                if number == CASES // SHARDS // 4:
                    before = psutil.Process().memory_info().rss
            assert psutil.Process().memory_info().rss - before < GROWTH_BYTES
        assert {200, 400} <= seen, "the mutations are neither too wild nor too tame"

    run(story(), LONGEST_SECONDS)


def answered(random: Random, api: Dialect, streamed: bool) -> bytes:
    """A backend's answer, HTTP and all, with something wrong in it."""
    if not streamed:
        plain = json.dumps(api.whole).encode()
        body = mutated_document(random, api.whole) if random.random() < 0.7 else mutated_bytes(random, plain)
        kind = "application/json"
    else:
        events = [event.partition(b"data: ") for event in api.stream.removesuffix(b"\n\n").split(b"\n\n")]
        place = random.randrange(len(events))
        name, mark, data = events[place]
        if data.startswith(b"{") and random.random() < 0.7:
            events[place] = name, mark, mutated_document(random, json.loads(data))
        body = b"".join(b"".join(event) + b"\n\n" for event in events)
        kind = STREAM
        if random.random() < 0.3:
            body = mutated_bytes(random, body)
    status = 200 if random.random() < 0.9 else random.choice((100, 204, 301, 400, 404, 418, 429, 500, 503, 529, 999))
    told = {"content-type": kind} | ({"content-length": str(len(body))} if random.random() < 0.5 else {})
    whole = head(status, **told) + body
    return mutated_bytes(random, whole) if random.random() < 0.1 else whole


@pytest.mark.timeout(LONGEST_SECONDS)
def test_whatever_a_backend_answers_the_client_has_an_answer_or_an_honest_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        answer_now: list[bytes] = []
        wires, whole, cut, failed = Wires(nearby=False), 0, 0, 0

        async def say(talk: Talk) -> None:
            await talk.request()
            await talk.send(*answer_now)

        async with scripted(say) as one:
            for case in range(CASES // ANSWERS_SHARE):
                random = Random(case)
                api, streamed = random.choice(list(DIALECTS.values())), random.random() < 0.6
                path = random.choice([CHAT, MESSAGES, RESPONSES, COMPLETIONS])
                answer_now[:] = pieces(random, answered(random, api, streamed))
                spec = BackendSpec(api.name, "m", 1.0, api.name, one.url, ())
                plain: dict[str, Any] = {"model": "m", "max_tokens": 9, "stream": streamed}
                said = {"messages": [{"role": "user", "content": "hi"}]}
                more = {COMPLETIONS: {"prompt": "hi"}, RESPONSES: {"input": "hi"}}.get(path, said)
                request = parse_request(path, json.dumps(plain | more).encode())
                client, out = Client(), outgoing(request, spec, "", 1)
                surface = SURFACES.get(path)
                answer = (
                    SurfaceAnswer(client.send, b"mine", surface) if surface else Answer(client.send, False, b"mine")
                )
                if isinstance(answer, SurfaceAnswer):
                    answer.expect(request, native=out.native)
                try:
                    await attempt(wires, spec, out, answer, Taken(), [], 1, 2)
                except Failed as failure:
                    fault = failure.fault
                    assert 400 <= fault.error.status < 600, case
                    assert fault.delivered == answer.started == client.ended, case
                    assert b'"error"' in client.body or not client.ended, (case, client.body)
                    cut, failed = cut + fault.delivered, failed + 1
                else:
                    assert client.ended, case
                    if client.body.startswith((b"data:", b"event:")):
                        assert any(end in client.body for end in ENDS), (case, client.body)
                    whole += 1
                client.body.decode()
                assert not caplog.records, case
        wires.close()
        assert min(whole, cut, failed - cut) > CASES // 1000, "the mutations are neither too wild nor too tame"

    caplog.set_level(logging.WARNING)
    run(story(), LONGEST_SECONDS)
