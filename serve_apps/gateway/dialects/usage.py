"""Tokens that an answer took, as the gateway counts them and as each dialect writes them."""

from dataclasses import astuple, dataclass
from typing import Any

from serve_apps.gateway.dialects.reading import Json, said_fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `prompt` is all that was read, of it `cached` came from a cache and `cache_written` went into one;
    `completion` is all that was written, of it `reasoning` was thought. The parts never exceed the whole.

    OpenAI's `prompt_tokens` and the Responses' `input_tokens` are the whole; Anthropic's `input_tokens` are what is
    left without the two parts. What a backend says that is no count is read as 0.
    """

    prompt: int
    cached: int
    cache_written: int
    completion: int
    reasoning: int

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @classmethod
    def of_chat(cls, usage: Any) -> "Usage":
        found = said_fields(usage)
        details = said_fields(found.get("prompt_tokens_details"))
        written = _count(details, "cache_write_tokens") or _count(details, "created_cache_tokens")  # OpenAI's, vLLM's
        thought = _count(said_fields(found.get("completion_tokens_details")), "reasoning_tokens")
        read = _count(details, "cached_tokens")
        return _bounded(_count(found, "prompt_tokens"), read, written, _count(found, "completion_tokens"), thought)

    @classmethod
    def of_anthropic(cls, usage: Any) -> "Usage":
        """`usage` of a message, or of `message_start` with what `message_delta` said since laid over it."""
        found = said_fields(usage)
        read, written = _count(found, "cache_read_input_tokens"), _count(found, "cache_creation_input_tokens")
        thought = _count(said_fields(found.get("output_tokens_details")), "thinking_tokens")
        prompt = _count(found, "input_tokens") + read + written
        return _bounded(prompt, read, written, _count(found, "output_tokens"), thought)

    @classmethod
    def of_responses(cls, usage: Any) -> "Usage":
        found = said_fields(usage)
        details = said_fields(found.get("input_tokens_details"))
        read, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
        thought = _count(said_fields(found.get("output_tokens_details")), "reasoning_tokens")
        return _bounded(_count(found, "input_tokens"), read, written, _count(found, "output_tokens"), thought)

    def for_chat(self) -> Json:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.cache_written},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }

    def for_anthropic(self) -> Json:
        return {
            "input_tokens": self.prompt - self.cached - self.cache_written,
            "cache_read_input_tokens": self.cached,
            "cache_creation_input_tokens": self.cache_written,
            "output_tokens": self.completion,
            "output_tokens_details": {"thinking_tokens": self.reasoning},
        }

    def for_responses(self) -> Json:
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.cache_written},
            "output_tokens": self.completion,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.prompt + self.completion,
        }


NOTHING = Usage(0, 0, 0, 0, 0)
"""For a dialect that demands figures where the backend gave none."""


def _bounded(prompt: int, cached: int, written: int, completion: int, reasoning: int) -> Usage:
    cached = min(cached, prompt)
    return Usage(prompt, cached, min(written, prompt - cached), completion, min(reasoning, completion))


def _count(found: Json, name: str) -> int:
    value = found.get(name)
    return value if type(value) is int and value > 0 else 0
