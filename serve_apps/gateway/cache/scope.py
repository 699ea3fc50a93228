"""Which requests may be answered from the cache, and what two of them must have in common. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from serve_apps.gateway.body import CHAT, COMPLETIONS, MESSAGES, PROMPTS, RESPONSES, Request
from serve_apps.gateway.cache.policy import CachePolicy
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.surface import as_chat

LONGEST = 600
"""Characters of a text that is compared by meaning: of more than 128 tokens a vector says little, and one word in many
does not move it."""
ASIDE = frozenset({"stream", "stream_options", "user", "metadata"})
"""What changes nothing of an answer's content."""
ALIVE = ("audio", "web_search_options", "previous_response_id", "conversation", "background", "logprobs")
"""Who asks for one of these wants something that was not said before, or that is not kept."""


@dataclass(frozen=True, slots=True)
class Ask:
    """`key` is the same for requests that are the same, `near` for those that differ in the last message only, whose
    text is `text`; that is empty where none may be compared by meaning. `space` is whose answers these are: a tenant's
    of a route. `looks` is whether an answer that is kept will do.
    """

    space: str
    key: bytes
    near: bytes
    text: str
    looks: bool
    policy: CachePolicy


def ask_of(
    request: Request, headers: Iterable[tuple[bytes, bytes]], route: str, tenant: str, policy: CachePolicy
) -> Ask | None:
    """None for a request whose answer is neither looked for nor kept. `route` names one of one gateway."""
    control = b",".join(value for name, value in headers if name.lower() == b"cache-control").lower()
    document = request.document
    if b"no-store" in control or request.path not in (CHAT, COMPLETIONS, MESSAGES, RESPONSES):
        return None
    if document.get("n") not in (None, 1) or document.get("best_of") not in (None, 1):
        return None
    if any(document.get(name) for name in ALIVE) or document.get("modalities") not in (None, ["text"]):
        return None
    try:
        messages = [] if request.path == COMPLETIONS else as_chat(request).document["messages"]
    except ApiError:
        return None
    if any(not isinstance(one, dict) or one.get("tool_calls") or one.get("role") == "tool" for one in messages):
        return None
    text = _text(messages[-1] if messages else {"role": "user", "content": request.prompt})
    same = {name: value for name, value in document.items() if name not in ASIDE}
    others = {name: value for name, value in same.items() if name != PROMPTS.get(request.path, "prompt")}
    space = json.dumps([route, tenant])
    return Ask(
        space,
        _digest([space, request.path, same]),
        _digest([space, request.path, others, messages[:-1]]),
        text if policy.semantic and len(text) <= LONGEST else "",
        b"no-cache" not in control,
        policy,
    )


def _text(message: Json) -> str:
    """What a user's last message says; empty where it is not the user's, or has more than text."""
    content: Any = message.get("content")
    if message.get("role") != "user":
        return ""
    if isinstance(content, list):
        if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            return ""
        content = "\n".join(str(part.get("text", "")) for part in content)
    return content if isinstance(content, str) else ""


def _digest(value: Any) -> bytes:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=32).digest()
