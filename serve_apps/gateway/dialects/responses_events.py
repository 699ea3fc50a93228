"""A stream of chat chunks as the events of `/v1/responses`."""

from typing import Any

from serve_apps.gateway.dialects.chunk_reader import Call, ChunkReader
from serve_apps.gateway.dialects.error_object import status_of
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.responses_object import (
    INCOMPLETE,
    begun_response,
    call_item,
    ended_response,
    item_id,
    message_item,
    reasoning_item,
    text_content,
)
from serve_apps.gateway.dialects.usage import NOTHING

CODES = {400: "invalid_prompt", 429: "rate_limit_exceeded"}


class ResponsesEvents(ChunkReader):
    """`request` is the client's, ids of items are made of `response_id`.

    An item of thoughts or text is done where another begins; calls are done at the end, because deltas of parallel
    calls may come in turns. The last event has the whole response: completed, incomplete, or failed.
    """

    def __init__(self, request: Json, response_id: str) -> None:
        super().__init__()
        self._request = request
        self._id = response_id
        self._begun: Json | None = None
        self._sequence = 0
        self._items: list[Json] = []
        self._open_item = ""
        self._open_part = ""
        self._at: Json = {}
        self._content: list[Json] = []
        self._written: list[str] = []
        self._thinking_blocks: list[Json] = []

    def _open(self, chunk: Json, events: list[Json]) -> None:
        self._begun = begun_response(self._request, chunk, self._id)
        self._tell("response.created", events, response=self._begun)
        self._tell("response.in_progress", events, response=self._begun)

    def _text(self, text: str, events: list[Json]) -> None:
        self._say("msg", "output_text", text, events, logprobs=[])

    def _refusal(self, text: str, events: list[Json]) -> None:
        self._say("msg", "refusal", text, events)

    def _thought(self, text: str, events: list[Json]) -> None:
        self._say("rs", "reasoning_text", text, events)

    def _thinking_block(self, block: Json, events: list[Json]) -> None:
        if self._open_item != "rs":
            self._begin_item("rs", events)
        self._thinking_blocks.append(block)

    def _begin_call(self, call: Call, events: list[Json]) -> None:
        self._end_item(events)
        call.place = len(self._items)
        item = call_item(item_id("fc", self._id, call.place), call.id, call.name, "")
        self._add(item, events)

    def _argue(self, call: Call, arguments: str, events: list[Json]) -> None:
        at = {"item_id": self._items[call.place]["id"], "output_index": call.place}
        self._tell("response.function_call_arguments.delta", events, **at, delta=arguments)

    def _say(self, kind: str, part: str, text: str, events: list[Json], **more: Any) -> None:
        if self._open_item != kind:
            self._begin_item(kind, events)
        if self._open_part != part:
            self._begin_part(part, events)
        self._written.append(text)
        self._tell(f"response.{part}.delta", events, **self._at, delta=text, **more)

    def _begin_item(self, kind: str, events: list[Json]) -> None:
        self._end_item(events)
        self._open_item = kind
        made = item_id(kind, self._id, len(self._items))
        self._add(message_item(made, []) if kind == "msg" else reasoning_item(made, "", []), events)

    def _add(self, item: Json, events: list[Json]) -> None:
        self._tell(
            "response.output_item.added",
            events,
            output_index=len(self._items),
            item=item | {"status": "in_progress"},
        )
        self._items.append(item)

    def _begin_part(self, part: str, events: list[Json]) -> None:
        self._end_part(events)
        self._open_part = part
        place = len(self._items) - 1
        self._at = {
            "item_id": self._items[place]["id"],
            "output_index": place,
            "content_index": len(self._content),
        }
        self._tell("response.content_part.added", events, **self._at, part=_part(part, ""))

    def _end_part(self, events: list[Json]) -> None:
        if not self._open_part:
            return
        kind, text = self._open_part, "".join(self._written)
        self._open_part = ""
        self._written.clear()
        part = _part(kind, text)
        self._content.append(part)
        told = {name: value for name, value in part.items() if name in ("text", "refusal", "logprobs")}
        self._tell(f"response.{kind}.done", events, **self._at, **told)
        self._tell("response.content_part.done", events, **self._at, part=part)

    def _end_item(self, events: list[Json]) -> None:
        if not self._open_item:
            return
        self._end_part(events)
        place = len(self._items) - 1
        made = self._items[place]["id"]
        if self._open_item == "msg":
            item = message_item(made, self._content)
        else:
            item = reasoning_item(made, "".join(part["text"] for part in self._content), self._thinking_blocks)
        self._open_item, self._content, self._thinking_blocks = "", [], []
        self._item_done(place, item, events)

    def _item_done(self, place: int, item: Json, events: list[Json]) -> None:
        if self._finish_reason in INCOMPLETE and place == len(self._items) - 1:
            item = item | {"status": "incomplete"}
        self._items[place] = item
        self._tell("response.output_item.done", events, output_index=place, item=item)

    def _close(self, events: list[Json]) -> None:
        self._end_item(events)
        for call in self._calls:
            if call.name:
                arguments = "".join(call.written)
                made = self._items[call.place]["id"]
                at = {"item_id": made, "output_index": call.place}
                self._tell("response.function_call_arguments.done", events, **at, arguments=arguments)
                self._item_done(call.place, call_item(made, call.id, call.name, arguments), events)
        ended = ended_response(self._items, self._finish_reason, self.usage or NOTHING)
        response = (self._begun or {}) | ended
        self._tell(f"response.{ended['status']}", events, response=response)

    def _error(self, chunk: Json, events: list[Json]) -> None:
        error = chunk["error"]
        message = error["message"] if isinstance(error, dict) else str(error)
        code = CODES.get(status_of(chunk), "server_error")
        if self._begun is None:
            self._tell("error", events, code=code, message=message, param=None)
        else:
            failed = self._begun | {"status": "failed", "error": {"code": code, "message": message}}
            self._tell("response.failed", events, response=failed)

    def _tell(self, kind: str, events: list[Json], **fields: Any) -> None:
        events.append({"type": kind, "sequence_number": self._sequence, **fields})
        self._sequence += 1


def _part(kind: str, text: str) -> Json:
    if kind == "output_text":
        return text_content(text)
    return {"type": kind, "refusal" if kind == "refusal" else "text": text}
