"""Server-sent events on their way through. Holds no connection and stores nothing.

Lines go on as they came, byte for byte. What is added is an honest end: a stream that broke, or in which the
engine reported an error, ends in an error event and never in `[DONE]`.
"""

from serve_apps.gateway.errors import ApiError

DONE = b"data: [DONE]"
ENGINE_ERROR = b'data: {"error"'


class EventRelay:
    """Feeds on chunks of one upstream event stream.

    Only whole lines are let through, so that a cut never leaves half an event for the client to choke on;
    engines write whole events, so nothing waits in practice. From an engine's error event on, the rest is
    held until the end, because vLLM sends `[DONE]` after it.
    """

    def __init__(self) -> None:
        self._held = b""
        self._last_line = b""
        self._failed = False

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to send on now, perhaps none."""
        held = self._held + chunk
        if self._failed:
            self._held = held
            return b""
        end = held.rfind(b"\n") + 1
        lines, self._held = held[:end], held[end:]
        if ENGINE_ERROR in lines:
            self._failed = True
            self._held = held
            return b""
        stripped = lines.rstrip()
        if stripped:
            self._last_line = stripped[stripped.rfind(b"\n") + 1 :]
        return lines

    def finish(self, broken: bool) -> bytes:
        """The last bytes: what was held, or the error event where the stream was `broken` or never came to
        `[DONE]`.
        """
        if self._failed:
            return self._held.replace(DONE, b"").rstrip() + b"\n\n"
        if not broken and (self._held.strip() or self._last_line) == DONE:
            return self._held
        return b"\n\ndata: " + STREAM_CUT.body() + b"\n\n"


STREAM_CUT = ApiError(
    502, "stream_interrupted", "The model stopped before its answer was complete.", kind="server_error"
)
