"""Server-sent events on their way through. Holds no connection and stores nothing.

Lines go on as they came, byte for byte. What is added is an honest end: a stream that broke, or in which the
engine reported an error, ends in an error event and never in `[DONE]`.
"""

import json

from serve_apps.gateway.errors import ApiError

DONE = b"data: [DONE]"
ENGINE_ERROR = b'data: {"error"'


class EventRelay:
    """Feeds on chunks of one upstream event stream.

    Only whole lines are let through, so that a cut never leaves half an event for the client to choke on;
    engines write whole events, so nothing waits in practice. From an engine's error event on, the rest is
    held until the end, because vLLM sends `[DONE]` after it.

    `whole` says, once finished, whether the stream came to its end.
    """

    def __init__(self) -> None:
        self.whole = False
        self._held = b""
        self._last_lines = b""
        self._failed = False

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to send on now, perhaps none."""
        held = self._held + chunk if self._held else chunk
        if self._failed:
            self._held = held
            return b""
        if held.endswith(b"\n"):
            lines, rest = held, b""
        else:
            end = held.rfind(b"\n") + 1
            lines, rest = held[:end], held[end:]
        if ENGINE_ERROR in lines:
            self._failed = True
            self._held = held
            return b""
        if lines and not lines.isspace():
            self._last_lines = lines
        self._held = rest
        return lines

    def finish(self) -> bytes:
        """The last bytes: what was held, or the error event where the stream never came to `[DONE]`."""
        if self._failed:
            return self._held.replace(DONE, b"").rstrip() + b"\n\n"
        last_line = self._held.strip() or self._last_lines.rstrip().rpartition(b"\n")[2]
        if last_line == DONE:  # whatever became of the connection after it
            self.whole = True
            return self._held
        return b"\n\ndata: " + STREAM_CUT.body() + b"\n\n"

    def told(self) -> tuple[int, bytes] | None:
        """The status and the JSON of the error event that the engine sent, None where it sent none."""
        if not self._failed:
            return None
        line = self._held[self._held.index(ENGINE_ERROR) :].splitlines()[0].removeprefix(b"data: ")
        try:
            return int(json.loads(line)["error"]["code"]), line
        except (ValueError, LookupError, TypeError):
            return 500, line


STREAM_CUT = ApiError(
    502, "stream_interrupted", "The model stopped before its answer was complete.", kind="server_error"
)
