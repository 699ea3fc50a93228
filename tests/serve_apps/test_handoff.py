"""Prompts that one engine reads for another: what each is asked, and what happens where nobody reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps import handoff
from serve_apps.handoff import TRANSFER, Handoff
from serve_apps.http_server import ReplicaServer
from serve_apps.internal_key import ENVIRONMENT_VARIABLE

CHAT = "/v1/chat/completions"
WHERE = {"remote_engine_id": "e", "remote_block_ids": [1, 2], "remote_host": "127.0.0.1", "remote_port": 1}


class Engine:
    """Remembers what it was asked; a reader says where the prompt's cache is, or something else."""

    def __init__(self, status: int = 200, where: dict[str, Any] | None = None, says: bytes | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self._answer = JSONResponse({TRANSFER: where}, status) if says is None else Response(says, status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                await send({"type": f"{(await receive())['type']}.complete"})
        headers = dict(scope["headers"])
        self.keys.add(headers.get(b"authorization", b"").decode())
        message = await receive()
        assert int(headers[b"content-length"]) == len(message["body"])
        try:
            self.asked.append(json.loads(message["body"]))
        except ValueError:
            self.asked.append({"unreadable": message["body"].decode()})
        await self._answer(scope, receive, send)


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[ReplicaServer]:
    server = ReplicaServer(app, "127.0.0.1")
    await server.start()
    yield server
    await server.close()


def finder(url: str) -> Callable[[], Coroutine[Any, Any, str]]:
    async def find() -> str:
        return url

    return find


async def ask(app: ASGIApp, body: Any, path: str = CHAT) -> int:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://writer") as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return (await client.post(path, content=content)).status_code


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "key")
    monkeypatch.setattr(handoff, "FIND_SECONDS", 0.01)


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_the_prompt_is_read_for_one_token_and_the_answer_written_from_where_its_cache_is() -> None:
    async def story() -> None:
        reader, writer = Engine(where=WHERE), Engine()
        async with listening(reader) as there:
            app = Handoff(writer, [finder(there.url)])
            await settled()
            body = {
                "model": "chat",
                "messages": [{"role": "user", "content": "hello"}],
                "stream": True,
                "stream_options": {"include_usage": True},
                "max_completion_tokens": 64,
                "min_tokens": 8,
            }
            assert await ask(app, body) == 200
            (read,), (written,) = reader.asked, writer.asked
            assert (read["max_tokens"], read["max_completion_tokens"], read["stream"]) == (1, 1, False)
            assert read["messages"] == body["messages"]
            assert not {"stream_options", "min_tokens"} & read.keys(), "a reader that has to write more refuses"
            assert read[TRANSFER] == {"do_remote_decode": True, "do_remote_prefill": False}
            assert written == {**body, TRANSFER: WHERE}
            assert reader.keys == {"Bearer key"}

    asyncio.run(story())


def test_prompts_go_to_the_reader_that_has_least_to_read_and_past_the_one_that_is_gone() -> None:
    async def story() -> None:
        first, second, writer = Engine(where=WHERE), Engine(where=WHERE), Engine()
        async with AsyncExitStack() as stack:
            there = [await stack.enter_async_context(listening(one)) for one in (first, second)]
            app = Handoff(writer, [finder(one.url) for one in there])
            await settled()
            await asyncio.gather(*(ask(app, {"messages": []}) for _ in range(6)))
            assert len(first.asked) == len(second.asked) == 3
            await there[0].close()
            await asyncio.gather(*(ask(app, {"messages": []}) for _ in range(4)))
            assert len(second.asked) == 7
            assert len(writer.asked) == 10
            assert all(one[TRANSFER] == WHERE for one in writer.asked)

    asyncio.run(story())


def test_what_no_reader_reads_the_writer_reads_itself_and_a_reader_that_returns_is_found() -> None:
    async def story() -> None:
        reader, writer, url = Engine(where=WHERE), Engine(), ""

        async def find() -> str:
            if not url:
                raise RuntimeError("no replica")
            return url

        app = Handoff(writer, [find])
        await settled()
        assert await ask(app, {"messages": []}) == 200
        assert writer.asked == [{"messages": []}]
        async with listening(reader) as there:
            url = there.url
            async with asyncio.timeout(5):
                while not reader.asked:
                    await asyncio.sleep(0.01)
                    await ask(app, {"messages": []})
        assert writer.asked[-1][TRANSFER] == WHERE

    asyncio.run(story())


def test_what_a_reader_refuses_is_refused_by_the_engine_that_writes() -> None:
    async def story() -> None:
        reader, writer = Engine(status=400), Engine(status=400)
        async with listening(reader) as there:
            app = Handoff(writer, [finder(there.url)])
            await settled()
            assert await ask(app, {"messages": "none"}) == 400
            assert await ask(app, b"{no json") == 400
            assert writer.asked == [{"messages": "none"}, {"unreadable": "{no json"}]

    asyncio.run(story())


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": ["one", "two"]},
        {"prompt": [[1, 2], [3]]},
        {"prompt": "one", "n": 2},
        {"prompt": "one", "use_beam_search": True},
    ],
)
def test_a_request_for_several_answers_is_not_handed_on(body: dict[str, Any]) -> None:
    async def story() -> None:
        reader, writer = Engine(where=WHERE), Engine()
        async with listening(reader) as there:
            app = Handoff(writer, [finder(there.url)])
            await settled()
            assert await ask(app, body, "/v1/completions") == 200
            assert reader.asked == []
            assert writer.asked == [body]

    asyncio.run(story())


@pytest.mark.parametrize("found", [True, False], ids=["with a reader", "without one"])
def test_a_client_never_says_from_where_a_cache_is_fetched(found: bool) -> None:
    evil = {"do_remote_prefill": True, "remote_host": "somewhere"}

    async def story() -> None:
        reader, writer = Engine(where=WHERE), Engine()
        async with listening(reader) as there:
            app = Handoff(writer, [finder(there.url)] if found else [])
            await settled()
            await ask(app, {"prompt": "one", TRANSFER: evil, "vllm_xargs": {TRANSFER: evil, "kept": 1}})
            await ask(app, {"prompt": "one", "n": 2, TRANSFER: evil})
            assert "somewhere" not in json.dumps([reader.asked, writer.asked])
            assert writer.asked[0]["vllm_xargs"] == {"kept": 1}
            assert TRANSFER not in writer.asked[1]

    asyncio.run(story())


@pytest.mark.parametrize("says", [b"not json", b"\xff", b"[]", b"3", b"null"])
def test_what_a_reader_answers_that_is_no_object_is_no_place_of_a_cache_and_the_next_one_is_asked(says: bytes) -> None:
    evil = {"do_remote_prefill": True, "remote_host": "somewhere"}
    body = {"prompt": "one", TRANSFER: evil, "vllm_xargs": {TRANSFER: evil}}

    async def story() -> None:
        babbling, reader, writer = Engine(says=says), Engine(where=WHERE), Engine()
        async with listening(babbling) as there, listening(reader) as other:
            app = Handoff(writer, [finder(there.url)])
            await settled()
            assert await ask(app, body, "/v1/completions") == 200
            assert writer.asked == [{"prompt": "one", "vllm_xargs": {}}]
            app = Handoff(writer, [finder(there.url), finder(other.url)])
            await settled()
            assert await ask(app, body, "/v1/completions") == 200
            assert writer.asked[1:] == [{"prompt": "one", "vllm_xargs": {}, TRANSFER: WHERE}]
            assert (len(babbling.asked), len(reader.asked)) == (2, 1)

    asyncio.run(story())


@pytest.mark.parametrize("odd", [b'"\\ud800"', b"NaN"])
def test_what_only_some_encodings_take_is_read_too_and_no_fault_of_a_reader(odd: bytes) -> None:
    async def story() -> None:
        reader, writer = Engine(where=WHERE), Engine()
        async with listening(reader) as there:
            app = Handoff(writer, [finder(there.url)])
            await settled()
            assert await ask(app, b'{"messages": [], "user": %b}' % odd) == 200
            assert len(reader.asked) == 1
            assert writer.asked[0][TRANSFER] == WHERE

    asyncio.run(story())


def test_everything_else_goes_to_the_engine_as_it_is() -> None:
    async def story() -> None:
        reader, writer = Engine(where=WHERE), Engine()
        async with listening(reader) as there:
            app = Handoff(writer, [finder(there.url)])
            await settled()
            await ask(app, {"input": "hello"}, "/v1/embeddings")
            assert (reader.asked, writer.asked) == ([], [{"input": "hello"}])

    asyncio.run(story())
