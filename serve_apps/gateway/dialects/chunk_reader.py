"""What a stream of chat chunks says, piece by piece, for those who say it in another dialect."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from serve_apps.gateway.dialects.reading import Json, said_text
from serve_apps.gateway.dialects.usage import Usage


@dataclass(slots=True)
class Call:
    """A call that is being written, `written` so far. `place` is where it stands among the pieces of the answer."""

    id: str
    name: str = ""
    place: int = -1
    written: list[str] = field(default_factory=list)


class ChunkReader(ABC):
    """Feeds on the chunks of one stream, of which it reads the first choice; `[DONE]` is told by `done`.

    `began` is whether anything real came: text, a thought or a call. `failed` is whether the backend reported an
    error, after which nothing comes out any more. `ended` is whether the answer is whole: it had a reason to stop,
    and `[DONE]`. A stream that ends with neither broke. `usage` is what was last said of it, None before.
    """

    def __init__(self) -> None:
        self.began = self.ended = self.failed = False
        self.usage: Usage | None = None
        self._answer_id: str | None = None
        self._writing: dict[int, Call] = {}
        self._calls: list[Call] = []
        self._finish_reason = ""
        self._matched: str | None = None

    def feed(self, chunk: Json) -> list[Json]:
        """The events to send on now. Raises ValueError where it is not a chunk of a chat completion."""
        if self.failed or self.ended:
            return []
        events: list[Json] = []
        try:
            self._read(chunk, events)
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"not a chunk of a chat completion: {error!r}") from None
        return events

    def done(self) -> list[Json]:
        """The last events, none where the answer is not whole."""
        events: list[Json] = []
        if self._finish_reason and not self.failed and not self.ended:
            self.ended = True
            self._close(events)
        return events

    def _read(self, chunk: Json, events: list[Json]) -> None:
        if chunk.get("error"):
            self.failed = True
            return self._error(chunk, events)
        if self._answer_id is None:
            self._answer_id = chunk["id"]
            self._open(chunk, events)
        if chunk.get("usage"):
            self.usage = Usage.of_chat(chunk["usage"])
        if chunk["choices"]:
            choice = chunk["choices"][0]
            delta = choice.get("delta")
            if delta:
                self._delta(delta, events)
            if choice.get("finish_reason"):
                self._finish_reason = said_text(choice["finish_reason"])
                self._matched = choice.get("stop_reason")
        return None

    def _delta(self, delta: Json, events: list[Json]) -> None:
        said = delta.get
        if thought := said("reasoning_content") or said("reasoning"):
            self.began = True
            self._thought(said_text(thought), events)
        for block in said("thinking_blocks") or ():
            self.began = True
            self._thinking_block({name: value for name, value in block.items() if name != "index"}, events)
        if text := said("content"):
            self.began = True
            self._text(said_text(text), events)
        if refusal := said("refusal"):
            self.began = True
            self._refusal(said_text(refusal), events)
        for call in said("tool_calls") or ():
            self.began = True
            self._read_call(call, events)

    def _read_call(self, delta: Json, events: list[Json]) -> None:
        """Calls come in turns, told apart by their index. One begins when its name is known, whatever came before;
        a server that counts all of them 0 gives each an id with its name.
        """
        index, call_id, function = delta.get("index", 0), delta.get("id"), delta.get("function") or {}
        name, arguments = function.get("name"), function.get("arguments")
        call = self._writing.get(index)
        if call is None or (name and call_id and call_id != call.id):
            call = self._writing[index] = Call(said_text(call_id or f"{self._answer_id}_{index}"))
            self._calls.append(call)
        if arguments:
            call.written.append(said_text(arguments))
        if not call.name:
            if not name:
                return
            call.name = said_text(name)
            self._begin_call(call, events)
            arguments = "".join(call.written)
        if arguments:
            self._argue(call, arguments, events)

    @abstractmethod
    def _open(self, chunk: Json, events: list[Json]) -> None: ...

    @abstractmethod
    def _text(self, text: str, events: list[Json]) -> None: ...

    @abstractmethod
    def _thought(self, text: str, events: list[Json]) -> None: ...

    @abstractmethod
    def _thinking_block(self, block: Json, events: list[Json]) -> None:
        """A whole thought with its signature, whose text came before, or one that is not shown."""

    @abstractmethod
    def _refusal(self, text: str, events: list[Json]) -> None: ...

    @abstractmethod
    def _begin_call(self, call: Call, events: list[Json]) -> None: ...

    @abstractmethod
    def _argue(self, call: Call, arguments: str, events: list[Json]) -> None: ...

    @abstractmethod
    def _close(self, events: list[Json]) -> None: ...

    @abstractmethod
    def _error(self, chunk: Json, events: list[Json]) -> None: ...
