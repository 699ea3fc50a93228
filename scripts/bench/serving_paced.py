"""An engine that makes one token each 10 ms and leaves the processor free, as it is beside a GPU.

Named to a plane by Ray's own hook, RAYLLM_VLLM_ENGINE_CLS=scripts.bench.serving_paced.PacedEngine, in the environment
of `biplane up`. The same ASGI application alone under uvicorn:
python -m scripts.bench.serving_paced DIRECTORY --port PORT

A file `behaviour.json` in the model's directory makes a version that is better or worse: see `Behaviour`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

HOOK = "RAYLLM_VLLM_ENGINE_CLS"
CLASS = "scripts.bench.serving_paced.PacedEngine"
BEHAVIOUR = "behaviour.json"
CHAT, HEALTH, MODELS = "/v1/chat/completions", "/health", "/v1/models"
_SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
_DONE = b"data: [DONE]\n\n"
_IDENTITY = {"id": "chatcmpl-paced", "created": 1767225600}
PROMPT_TOKENS = 16
"""What is said of every prompt; nobody reads it."""
DEFAULT_TOKENS = 16


@dataclass(frozen=True)
class Behaviour:
    """How a version does: milliseconds to the first token and between tokens; the part of requests, 0 to 1, that it
    answers with 500."""

    first_ms: float = 10.0
    token_ms: float = 10.0
    fails: float = 0.0

    @staticmethod
    def of(directory: Path) -> Behaviour:
        """What the model's directory says, if it does. Raises ValueError, TypeError where it cannot be read."""
        try:
            return Behaviour(**json.loads((directory / BEHAVIOUR).read_text()))
        except FileNotFoundError:
            return Behaviour()


class PacedApp:
    """OpenAI's chat completions as vLLM answers them; each request advances by itself.

    Tokens are due at fixed times from the request's start: what sending costs delays none that follows.
    """

    def __init__(self, model: str, behaviour: Behaviour, seed: int = 0) -> None:
        self._behaviour = behaviour
        self._random = random.Random(seed)
        named = {**_IDENTITY, "object": "chat.completion.chunk", "model": model}
        self._role = _event({**named, "choices": [_choice({"role": "assistant", "content": ""}, None)]})
        self._token = _event({**named, "choices": [_choice({"content": " token"}, None)]})
        self._last = _event({**named, "choices": [_choice({"content": " token"}, "length")]})
        self._named = named
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Serve puts its route's prefix before the path.
        match scope["type"], scope.get("path", "").removeprefix(scope.get("root_path", "")):
            case "lifespan", _:
                while True:
                    await send({"type": f"{(await receive())['type']}.complete"})
            case "http", path if path == CHAT:
                await self._chat(json.loads(await _body(receive)), send)
            case "http", path if path == MODELS:
                await _whole(send, 200, {"object": "list", "data": [{"id": self._model, "object": "model"}]})
            case "http", path if path == HEALTH:
                await _whole(send, 200, {})
            case "http", path:
                await _whole(send, 404, {"error": {"message": f"nothing at {path}", "type": "NotFoundError"}})

    async def _chat(self, asked: Mapping[str, Any], send: Send) -> None:
        tokens = asked.get("max_completion_tokens") or asked.get("max_tokens") or DEFAULT_TOKENS
        if self._random.random() < self._behaviour.fails:
            error = {"message": "this version fails", "type": "InternalServerError", "param": None, "code": 500}
            await _whole(send, 500, {"error": error})
            return
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}
        if not asked.get("stream"):
            async for _ in self._due(tokens):
                pass
            choice = {"index": 0, "message": _said(tokens), "logprobs": None, "finish_reason": "length"}
            body = {**self._named, "object": "chat.completion", "choices": [choice], "usage": usage}
            await _whole(send, 200, body)
            return
        counted = (asked.get("stream_options") or {}).get("include_usage")
        await send({"type": "http.response.start", "status": 200, "headers": _SSE})
        async for number in self._due(tokens):
            event = self._last if number == tokens else self._token
            await _part(send, self._role + event if number == 1 else event)
        last = _event({**self._named, "choices": [], "usage": usage}) if counted else b""
        await send({"type": "http.response.body", "body": last + _DONE})

    async def _due(self, tokens: int) -> AsyncIterator[int]:
        """The number of each token, from 1, when it is there."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._behaviour.first_ms / 1000
        for number in range(1, tokens + 1):
            await asyncio.sleep(max(0.0, due - loop.time()))
            yield number
            due += self._behaviour.token_ms / 1000


class PacedEngine:
    """What `serve_apps.llm` asks of an engine class that Ray's hook names."""

    def __init__(self, llm_config: Any) -> None:
        loading = llm_config.model_loading_config
        self._app = PacedApp(loading.model_id, Behaviour.of(Path(loading.model_source)))

    async def start(self) -> None:
        """It has nothing to load."""

    async def build_asgi_app(self) -> ASGIApp:
        return self._app

    async def check_health(self) -> None:
        """It has nothing that could die."""

    async def shutdown(self) -> None:
        """It holds nothing."""


def _choice(delta: Mapping[str, str], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _said(tokens: int) -> dict[str, Any]:
    return {"role": "assistant", "content": " token" * tokens}


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _part(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _whole(send: Send, status: int, document: Mapping[str, Any]) -> None:
    data = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m scripts.bench.serving_paced", description=__doc__)
    parser.add_argument("directory", type=Path, help="the model's")
    parser.add_argument("--model", default="paced", help="its name for clients")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = PacedApp(given.model, Behaviour.of(given.directory))
    uvicorn.run(app, host="127.0.0.1", port=given.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
