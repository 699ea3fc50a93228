"""How a prompt begins, so that requests that begin alike go to the replica that has the beginning in its cache. Pure.

Nothing is remembered: a prompt's beginning says by itself which replica it belongs to.
"""

from typing import Any

from serve_apps.gateway.hashing import draw

PREFIX_CHARACTERS = 1024
"""About 256 tokens, 16 of vLLM's blocks. A shorter beginning is computed again in a few milliseconds, and what differs
only after that still shares these blocks; most system prompts differ before."""
PREFIX_TOKENS = PREFIX_CHARACTERS // 4
MESSAGES = 16
"""No more messages, and parts of one, are looked at."""
INSTRUCTING = ("system", "developer")


def prefix_draw(prompt: Any) -> int | None:
    """The 64 bits that all prompts with the beginning of `prompt` share, None where it has none.

    Of chat messages the beginning is the instructions at the head, which conversations share, or without any the
    first message, which one conversation keeps. Of several prompts it is that of the first.
    """
    if isinstance(prompt, list) and prompt:
        first = prompt[0]
        if isinstance(first, int):
            return draw(repr(prompt[:PREFIX_TOKENS]))
        prompt = _instructions(prompt) if isinstance(first, dict) else first
        if isinstance(prompt, list):
            return draw(repr(prompt[:PREFIX_TOKENS])) if prompt and isinstance(prompt[0], int) else None
    return draw(prompt[:PREFIX_CHARACTERS]) if isinstance(prompt, str) and prompt else None


def _instructions(messages: list[Any]) -> str:
    found = ""
    for message in messages[:MESSAGES]:
        instructs = isinstance(message, dict) and message.get("role") in INSTRUCTING
        if found and (not instructs or len(found) >= PREFIX_CHARACTERS):
            break
        found += _text(message)
        if not instructs:
            break
    return found


def _text(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = (part.get("text") for part in content[:MESSAGES] if isinstance(part, dict))
        return "".join(part[:PREFIX_CHARACTERS] for part in parts if isinstance(part, str))
    return content[:PREFIX_CHARACTERS] if isinstance(content, str) else ""
