"""A stream of chat chunks as one of Anthropic's events."""

from serve_apps.gateway.dialects.anthropic_response import anthropic_tier
from serve_apps.gateway.dialects.chunk_reader import Call, ChunkReader
from serve_apps.gateway.dialects.error_object import anthropic_error, status_of
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.reasons import anthropic_stop
from serve_apps.gateway.dialects.tools import anthropic_id
from serve_apps.gateway.dialects.usage import NOTHING


class AnthropicEvents(ChunkReader):
    """`message_start` comes with the first chunk, before anything real; its figures are 0, which the last
    `message_delta` puts right: a backend tells them at its end.

    A block of text or thoughts stops where another begins. Blocks of tools stay open until the end, because deltas of
    parallel calls may come in turns and a block cannot be opened again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kind = ""
        self._blocks = 0
        self._refused = False
        self._tier: Json = {}

    def _open(self, chunk: Json, events: list[Json]) -> None:
        self._tier = anthropic_tier(chunk)
        message = {
            "id": chunk["id"],
            "type": "message",
            "role": "assistant",
            "model": chunk["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": NOTHING.for_anthropic() | self._tier,
        }
        events.append({"type": "message_start", "message": message})

    def _text(self, text: str, events: list[Json]) -> None:
        if self._kind != "text":
            self._begin("text", {"type": "text", "text": ""}, events)
        self._grow({"type": "text_delta", "text": text}, events)

    def _refusal(self, text: str, events: list[Json]) -> None:
        self._refused = True
        self._text(text, events)

    def _thought(self, text: str, events: list[Json]) -> None:
        if self._kind != "thinking":
            self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""}, events)
        self._grow({"type": "thinking_delta", "thinking": text}, events)

    def _thinking_block(self, block: Json, events: list[Json]) -> None:
        if block["type"] == "redacted_thinking":
            self._begin("redacted_thinking", block, events)
        else:
            if self._kind != "thinking":
                self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""}, events)
                if block["thinking"]:
                    self._grow({"type": "thinking_delta", "thinking": block["thinking"]}, events)
            if block["signature"]:
                self._grow({"type": "signature_delta", "signature": block["signature"]}, events)
        self._stop(events)

    def _begin_call(self, call: Call, events: list[Json]) -> None:
        self._stop(events)
        block = {"type": "tool_use", "id": anthropic_id(call.id), "name": call.name, "input": {}}
        call.place = self._blocks
        events.append({"type": "content_block_start", "index": self._blocks, "content_block": block})
        self._blocks += 1

    def _argue(self, call: Call, arguments: str, events: list[Json]) -> None:
        delta = {"type": "input_json_delta", "partial_json": arguments}
        events.append({"type": "content_block_delta", "index": call.place, "delta": delta})

    def _begin(self, kind: str, block: Json, events: list[Json]) -> None:
        self._stop(events)
        self._kind = kind
        events.append({"type": "content_block_start", "index": self._blocks, "content_block": block})
        self._blocks += 1

    def _grow(self, delta: Json, events: list[Json]) -> None:
        """Of the block of text or thoughts that is open: nothing began after it, or it would have stopped."""
        events.append({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _stop(self, events: list[Json]) -> None:
        if self._kind:
            self._kind = ""
            events.append({"type": "content_block_stop", "index": self._blocks - 1})

    def _close(self, events: list[Json]) -> None:
        self._stop(events)
        places = [call.place for call in self._calls if call.name]
        events += [{"type": "content_block_stop", "index": place} for place in places]
        stop = anthropic_stop(self._finish_reason, self._matched, called=bool(places), refused=self._refused)
        usage = (self.usage or NOTHING).for_anthropic()
        events.append({"type": "message_delta", "delta": stop, "usage": usage})
        events.append({"type": "message_stop"})

    def _error(self, chunk: Json, events: list[Json]) -> None:
        events.append(anthropic_error(chunk, status_of(chunk)))
