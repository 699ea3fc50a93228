"""What an answer took, counted while it passes. Pure: no I/O, no clock.

Backends are asked for the usage of every stream. Where one does not tell it, it is estimated of what was delivered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from serve_apps.gateway.dialects.usage import Usage

BYTES_PER_TOKEN = 4
"""Of English text, about. Only what no backend told is estimated."""
_KEY, _NULL = b'"usage"', b',"usage":null'
_decode = json.JSONDecoder().raw_decode


@dataclass(slots=True)
class Taken:
    """Of one request, over all attempts. `usage` is what the backend told that answered, `partial` whether it told that
    before the answer's end, `events` how many events of a stream were delivered, `answered` how many bytes of an answer
    that is none. `cut` is whether it broke off after some of it was delivered.
    """

    usage: Usage | None = None
    partial: bool = False
    events: int = 0
    answered: int = 0
    cut: bool = False

    def clear(self) -> None:
        """An attempt failed of which nothing was delivered."""
        self.usage, self.partial, self.events, self.answered = None, False, 0, 0

    def read(self, prompt_bytes: int) -> Usage:
        """What to account for a request of so many bytes: nothing where nothing was delivered."""
        if self.usage is not None and (self.usage.prompt or self.usage.completion):  # else it tells nothing
            written = max(self.usage.completion, self.events)
            return replace(self.usage, completion=written) if self.partial else self.usage
        if not (self.events or self.answered):
            return Usage(0, 0, 0, 0, 0)
        return Usage(-(-prompt_bytes // BYTES_PER_TOKEN), 0, 0, self.events or -(-self.answered // BYTES_PER_TOKEN), 0)

    def whole(self, body: bytes) -> None:
        """An answer of OpenAI's came whole: only its usage is looked at."""
        self.answered = len(body)
        at = body.rfind(_KEY)
        if at < 0:
            return
        try:
            told, _ = _decode(body[body.index(b":", at) + 1 :].decode().lstrip())
        except (ValueError, RecursionError):
            return
        if isinstance(told, dict):
            self.usage = Usage.of_chat(told)

    def lines(self, lines: bytes, shown: bool) -> bytes:
        """Whole lines of a stream of OpenAI's, as the client gets them: without its usage where that is not `shown`.

        Between quotes of JSON there are no bare quotes, so what looks like the name of a field is one.
        """
        self.events += lines.count(b"data:")
        if _KEY not in lines:
            return lines
        if not shown:
            lines = lines.replace(_NULL, b"")
        if lines.count(_KEY) == lines.count(b'"usage":null'):
            return lines
        kept, blank = [], False
        for line in lines.splitlines(keepends=True):
            if blank and not line.strip():
                blank = False
                continue
            if _KEY in line and not self._tells(line, shown):
                blank = True
                self.events -= 1
            else:
                kept.append(line)
        return b"".join(kept)

    def _tells(self, line: bytes, shown: bool) -> bool:
        """Takes the usage of a chunk; whether the chunk goes on to the client."""
        try:
            chunk = json.loads(line.removeprefix(b"data:"))
            told, choices = chunk["usage"], chunk.get("choices")
        except (ValueError, LookupError, TypeError, RecursionError):
            return True
        if isinstance(told, dict):
            self.usage = Usage.of_chat(told)
        return shown or bool(choices) or not isinstance(told, dict)
