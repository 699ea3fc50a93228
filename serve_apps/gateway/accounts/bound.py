"""The most tokens that a request can take, by what it says itself. Pure.

A token of a byte-level tokenizer is at least a byte of text, and what a provider adds of its own is bounded by messages
and tools. What an address stands for has no bytes in the request: each such part counts as a large picture.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

from serve_apps.gateway.body import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Request

USUAL_ANSWER = 4096
"""Tokens of an answer of which the client says no bound. That bound is then sent to the provider."""
LEAST_ANSWER = 16
OVERHEAD = 512
"""Tokens that a provider may add to a prompt: a system prompt for tools, the chat template's beginning."""
PER_PART = 16
"""Tokens around a message or a part of one."""
REMOTE_PART = 8192
"""Tokens of a picture or a file that is given by its address."""
ANSWER_FIELDS = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    COMPLETIONS: ("max_tokens",),
    MESSAGES: ("max_tokens",),
    RESPONSES: ("max_output_tokens",),
}
REMOTE = (b'"url"', b'"image_url"', b'"file_url"', b'"file_id"')
"""Names of fields that hold an address. In a text their quotes would be escaped."""


class Bound(NamedTuple):
    """Tokens. `said` is whether the client bounded the answer itself."""

    prompt: int
    completion: int
    said: bool

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion


def bound_of(request: Request) -> Bound:
    document, path = request.document, request.path
    parts = len(request.prompt) if isinstance(request.prompt, list) else 1
    prompt = len(request.raw) + OVERHEAD + PER_PART * parts
    # A name of JSON may be written with escapes: then it is looked for as we would write it.
    plain = json.dumps(document).encode() if b"\\u" in request.raw else request.raw
    prompt += REMOTE_PART * sum(plain.count(name) for name in REMOTE)
    if path == EMBEDDINGS:
        return Bound(prompt, 0, True)
    told = next((n for name in ANSWER_FIELDS[path] if type(n := document.get(name)) is int and n > 0), None)
    return Bound(prompt, _answers(request) * (USUAL_ANSWER if told is None else told), told is not None)


def bounded(request: Request, bound: Bound, most: int) -> tuple[Request, Bound]:
    """The request with a bound for its answer, where it has none: the usual one, or less where all of it may have no
    more than `most` tokens.
    """
    if bound.said:
        return request, bound
    several = _answers(request)
    tokens = max(LEAST_ANSWER, min(USUAL_ANSWER, (most - bound.prompt) // several))
    document = {**request.document, ANSWER_FIELDS[request.path][0]: tokens}
    said = Bound(bound.prompt, several * tokens, True)
    return replace(request, document=document, raw=json.dumps(document).encode()), said


def _answers(request: Request) -> int:
    """How many answers are asked for: of a batch, so many to each prompt. A list of numbers is one prompt."""
    document, prompt = request.document, request.prompt
    several = max((n for name in ("n", "best_of") if type(n := document.get(name)) is int and n > 0), default=1)
    batch = request.path == COMPLETIONS and isinstance(prompt, list) and any(type(one) is not int for one in prompt[:1])
    return several * len(prompt) if batch else several
