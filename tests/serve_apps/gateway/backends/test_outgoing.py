"""What a backend gets of a client's request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve_apps.gateway.backends.outgoing import outgoing
from serve_apps.gateway.body import CHAT, parse_request
from serve_apps.gateway.table import BackendSpec

MESSAGE = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}


def sent(provider: str, **asked: Any) -> dict[str, Any]:
    spec = BackendSpec(provider, "there", 1.0, "openai", "http://127.0.0.1:1", ())
    request = parse_request(CHAT, json.dumps({"model": "here", "messages": [MESSAGE], **asked}).encode())
    found: dict[str, Any] = json.loads(outgoing(request, spec, "", 0).body)
    return found


def test_openai_itself_gets_no_name_that_it_refuses() -> None:
    plain = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    assert sent("openai", top_k=3) == {"model": "there", "messages": [plain]}


@pytest.mark.parametrize("asked", [{"top_k": 3}, {}])
def test_a_server_of_vllm_s_gets_all_that_it_knows_more_than_openai(asked: dict[str, Any]) -> None:
    assert sent("local-vllm", **asked) == {"model": "there", "messages": [MESSAGE], **asked}
