"""Server-sent events on their way through. Holds no connection and stores nothing.

Lines go on as they came, byte for byte. What is added is an honest end: a stream that broke, or in which the
engine reported an error, ends in an error event and never in `[DONE]`.
"""

from serve_apps.gateway.dialects.error_object import status_of
from serve_apps.gateway.dialects.reading import said_object
from serve_apps.gateway.dialects.sse import DONE, MOST_EVENT_BYTES
from serve_apps.gateway.errors import ApiError

DATA = b"data:"
ERROR = b'"error'
"""In every error event, and in hardly any other: within a string of JSON its quote is escaped. Without the closing
one, because a search for what ends in a frequent character takes twice as long."""


class EventRelay:
    """Feeds on chunks of one upstream event stream.

    Only whole lines are let through, so that a cut never leaves half an event for the client to choke on;
    engines write whole events, so nothing waits in practice. An engine's error event is held until the end, and what
    follows it is dropped, because vLLM sends `[DONE]` after it. What is no UTF-8 is replaced, as the standard has it.

    `whole` says, once finished, whether the stream came to its end.
    """

    def __init__(self) -> None:
        self.whole = False
        self._partial: list[bytes] = []
        self._size = 0
        self._last_lines = b""
        self._held = b""
        self._error = b""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to send on now, perhaps none. Raises ValueError for a line that is longer than an event may be."""
        if self._error:
            return b""
        end = chunk.rfind(b"\n") + 1
        self._size = len(chunk) - end if end else self._size + len(chunk)
        if self._size > MOST_EVENT_BYTES:
            raise ValueError(f"a line of more than {MOST_EVENT_BYTES} bytes")
        if not end:
            self._partial.append(chunk)
            return b""
        lines = chunk
        if self._partial or end < len(chunk):  # hardly ever: engines write whole events
            lines = b"".join([*self._partial, chunk[:end]])
            self._partial = [chunk[end:]] if end < len(chunk) else []
        if not lines.isascii():
            lines = lines.decode(errors="replace").encode()
        if ERROR in lines and self._failed(lines):
            return b""
        if lines.startswith(DATA) or DATA in lines:
            self._last_lines = lines
        return lines

    def finish(self) -> bytes:
        """The last bytes: what was held, or the error event where the stream never came to `[DONE]`."""
        if self._error:
            return self._held + b"\n\n"
        rest = b"".join(self._partial)
        rest = rest if DATA in rest else b""
        if _ends(rest or self._last_lines):  # whatever became of the connection after it
            self.whole = True
            return rest
        return b"\n\ndata: " + STREAM_CUT.body() + b"\n\n"

    def told(self) -> tuple[int, bytes] | None:
        """The error event that the engine sent, and the status that it stands for; None where it sent none."""
        return (status_of(said_object(self._error)), self._error) if self._error else None

    def _failed(self, lines: bytes) -> bool:
        """Whether there is an error event in them, which is held with what came before it."""
        for line in lines.splitlines():
            data = line.removeprefix(DATA)
            if ERROR not in data or not line.startswith(DATA):
                continue
            try:
                if said_object(data).get("error"):
                    self._error, self._held = data.strip(), lines.partition(line)[0] + line
                    return True
            except ValueError:
                continue
        return False


def _ends(lines: bytes) -> bool:
    """Whether the last of the data is that of the last event."""
    data = [line.removeprefix(DATA) for line in lines.splitlines() if line.startswith(DATA)]
    return bool(data) and data[-1].strip() == DONE


STREAM_CUT = ApiError(
    502, "stream_interrupted", "The model stopped before its answer was complete.", kind="server_error"
)
