"""Requests and answers of the tests of the cache."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from serve_apps.gateway.body import CHAT, parse_request
from serve_apps.gateway.cache.policy import CachePolicy
from serve_apps.gateway.cache.scope import Ask, ask_of

POLICY = CachePolicy(threshold=0.8, ttl_s=60.0, max_entries=100, semantic=True)


def ask_or_none(path: str = CHAT, tenant: str = "org", control: bytes = b"", **fields: Any) -> Ask | None:
    body = {"model": "m", "messages": [{"role": "user", "content": "What is the capital of France?"}]} | fields
    headers = [(b"cache-control", control)] if control else []
    return ask_of(parse_request(path, json.dumps(body).encode()), headers, "front/chat", tenant, POLICY)


def ask(text: str = "What is the capital of France?", tenant: str = "org", **policy: Any) -> Ask:
    found = ask_or_none(tenant=tenant, messages=[{"role": "user", "content": text}])
    assert found is not None
    return replace(found, policy=replace(POLICY, **policy))


def answer(text: str = "Paris.", reason: str = "stop", **said: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text} | said
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
