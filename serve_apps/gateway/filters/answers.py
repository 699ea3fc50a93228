"""A chat's or a completion's answer on its way through filters: whole, or in chunks that may be cut anywhere. Pure.

Of each choice one text is open at a time: what is held back of it goes out before another one begins, and at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from serve_apps.gateway.dialects.sse import DONE, MOST_EVENT_BYTES, Event, EventSplitter, plain_event
from serve_apps.gateway.errors import FilterError
from serve_apps.gateway.filters.filter import Json, Part, TextFilter

Chain = Callable[[Part], Sequence[TextFilter]]
"""New filters for one text, in the order in which it passes them. They refuse it with a FilterError."""
FIELDS = {
    "reasoning_content": Part.THOUGHT,
    "reasoning": Part.THOUGHT,
    "text": Part.TEXT,
    "content": Part.TEXT,
    "refusal": Part.TEXT,
}
Place = tuple[str, int]
"""A text of a choice: its field, and for the arguments of a call the call's index."""


class AnswerFilter:
    """Filters one answer: `whole`, or `feed` and `finish` on the bytes of its stream of chat chunks or completions.

    `rejected` is set once a filter refused what streams: the error event is out, and nothing follows it.
    """

    def __init__(self, chain: Chain) -> None:
        self.rejected: FilterError | None = None
        self._chain = chain
        self._splitter = EventSplitter(MOST_EVENT_BYTES)
        self._open: dict[int, _Text] = {}
        self._head: Json = {}

    def whole(self, document: Json) -> Json:
        """A changed copy. Raises FilterError 400 where it is refused, ValueError where it is no answer."""
        try:
            choices = [self._choice(choice) for choice in document["choices"]]
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"not a completion: {error!r}") from None
        return {**document, "choices": choices}

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on. Raises ValueError for what is no such stream."""
        return self._each(self._splitter.feed(chunk))

    def finish(self) -> bytes:
        """The rest, where the stream ended without `[DONE]`."""
        return self._each(self._splitter.finish()) + self._each([None])

    def _each(self, events: Sequence[Event | None]) -> bytes:
        out = bytearray()
        for event in events:
            if self.rejected is not None:
                break
            try:
                for ready in self._event(event):
                    out += ready
            except FilterError as why:
                self.rejected = why
                out += b"data: " + self.rejected.body() + b"\n\n"
            except (AttributeError, LookupError, TypeError) as error:
                raise ValueError(f"not a chunk of a completion: {error!r}") from None
        return bytes(out)

    def _event(self, event: Event | None) -> Iterator[bytes]:
        """The events instead of it; None is the end."""
        if event is None or event.data == DONE:
            yield from self._close(*self._open)
            if event is not None:
                yield b"data: " + DONE + b"\n\n"
            return
        document = json.loads(event.data)
        if document.get("error"):
            yield from self._close(*self._open)
        if not document.get("choices"):
            yield b"data: " + event.data + b"\n\n"  # of the usage, or an error
            return
        self._head = {name: value for name, value in document.items() if name not in ("choices", "usage")}
        before: list[bytes] = []
        choices = [told for choice in document["choices"] if (told := self._piece(choice, before)) is not None]
        yield from before
        if choices or document.get("usage"):
            yield plain_event({**document, "choices": choices})

    def _piece(self, choice: Json, before: list[bytes]) -> Json | None:
        """A choice of a chunk; None where all that it said is held back."""
        index, is_chat = choice["index"], "delta" in choice
        said: Json = dict(choice.get("delta") or {}) if is_chat else {"text": choice.get("text")}
        spoke = False
        for name, part in FIELDS.items():
            if isinstance(said.get(name), str) and said[name]:
                before += self._turn(index, (name, 0))
                spoke, said[name] = True, self._opened(index, (name, 0), part).feed(said[name])
        if isinstance(said.get("thinking_blocks"), list):
            before += self._close(index)
            said["thinking_blocks"] = [self._thought(block) for block in said["thinking_blocks"]]
        calls = said.get("tool_calls")
        if isinstance(calls, list):
            said["tool_calls"] = [self._call_piece(index, call, before) for call in calls]
        if choice.get("finish_reason"):
            place, rest = self._ended(index)
            if rest and place is not None and place[0] in said and place[0] != "tool_calls":
                said[place[0]] = (said[place[0]] or "") + rest
            elif rest and place is not None:
                before.append(self._tail(index, place, rest))
        elif spoke and not any(said.values()):
            return None
        return {**choice, "logprobs": None, **({"delta": said} if is_chat else said)}

    def _call_piece(self, index: int, call: Json, before: list[bytes]) -> Json:
        place = "tool_calls", call.get("index", 0)
        before += self._turn(index, place)
        function = call.get("function") or {}
        if not function.get("arguments"):
            return call
        arguments = self._opened(index, place, Part.ARGUMENTS).feed(function["arguments"])
        return {**call, "function": {**function, "arguments": arguments}}

    def _turn(self, index: int, place: Place) -> list[bytes]:
        """The end of the text that was open, where another one begins."""
        open_text = self._open.get(index)
        return [] if open_text is None or open_text.place == place else self._close(index)

    def _opened(self, index: int, place: Place, part: Part) -> _Text:
        if index not in self._open:
            self._open[index] = _Text(place, self._chain(part))
        return self._open[index]

    def _ended(self, index: int) -> tuple[Place | None, str]:
        text = self._open.pop(index, None)
        return (None, "") if text is None else (text.place, text.finish())

    def _close(self, *indexes: int) -> list[bytes]:
        ended = [(index, *self._ended(index)) for index in indexes]
        return [self._tail(index, place, rest) for index, place, rest in ended if place is not None and rest]

    def _tail(self, index: int, place: Place, rest: str) -> bytes:
        name, call = place
        choice: Json = {"index": index, "logprobs": None, "finish_reason": None}
        if name == "text":
            choice["text"] = rest
        elif name == "tool_calls":
            choice["delta"] = {name: [{"index": call, "function": {"arguments": rest}}]}
        else:
            choice["delta"] = {name: rest}
        return plain_event({**self._head, "choices": [choice]})

    def _choice(self, choice: Json) -> Json:
        """Tokens with their probabilities would say again what was taken out."""
        told = {**choice, "logprobs": None}
        message = told["message"] = dict(choice["message"]) if "message" in choice else told
        for name, part in FIELDS.items():
            if isinstance(message.get(name), str):
                message[name] = self._passed(part, message[name])
        if isinstance(message.get("thinking_blocks"), list):
            message["thinking_blocks"] = [self._thought(block) for block in message["thinking_blocks"]]
        if isinstance(message.get("tool_calls"), list):
            message["tool_calls"] = [self._call(call) for call in message["tool_calls"]]
        if message is told:
            del told["message"]
        return told

    def _call(self, call: Json) -> Json:
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
            return call
        return {**call, "function": {**function, "arguments": self._passed(Part.ARGUMENTS, function["arguments"])}}

    def _thought(self, block: Json) -> Json:
        """A thought comes whole with its signature, after its text."""
        text: Any = block.get("thinking")
        return {**block, "thinking": self._passed(Part.THOUGHT, text)} if isinstance(text, str) else block

    def _passed(self, part: Part, text: str) -> str:
        passing = _Text(("", 0), self._chain(part))
        return passing.feed(text) + passing.finish()


class _Text:
    """One text and the filters that it passes in turn."""

    def __init__(self, place: Place, filters: Sequence[TextFilter]) -> None:
        self.place = place
        self._filters = filters

    def feed(self, text: str) -> str:
        for one in self._filters:
            text = one.feed(text)
        return text

    def finish(self) -> str:
        rest = ""
        for one in self._filters:
            rest = one.feed(rest) + one.finish()
        return rest
