"""A stream of Anthropic's events as one of chat chunks."""

from serve_apps.gateway.dialects.chat_response import chat_tier, explanation, matched
from serve_apps.gateway.dialects.error_object import openai_error, status_of
from serve_apps.gateway.dialects.reading import Json, said_fields, said_text
from serve_apps.gateway.dialects.reasons import FINISH_REASONS
from serve_apps.gateway.dialects.tools import tool_call, written
from serve_apps.gateway.dialects.usage import NOTHING, Usage


class ChatChunks:
    """Feeds on the events of one stream, as parsed from their data. `created` is in seconds since 1970.

    The role comes first, a tool's id and name before its arguments, a thought's whole block with its signature when it
    ends, the reason to stop, and a chunk with the usage last, which the gateway leaves out where nobody asked for it.

    `began`, `failed`, `ended` and `usage` mean what they mean for a `ChunkReader`; here the stream's own end,
    `message_stop`, says that it is whole.
    """

    def __init__(self, created: int) -> None:
        self.began = self.ended = self.failed = False
        self.usage: Usage | None = None
        self._created = created
        self._finished = False
        self._told_usage: Json = {}
        self._tier: Json = {}
        self._calls: dict[int, int] = {}
        self._unargued: set[int] = set()
        self._thoughts = 0
        self._thinking: dict[int, tuple[list[str], list[str]]] = {}

    def feed(self, event: Json) -> list[Json]:
        """The chunks to send on now. Raises ValueError where it is not an event of Anthropic's in its place."""
        if self.failed or self.ended:
            return []
        try:
            return self._read(event)
        except (AttributeError, LookupError, TypeError, RecursionError) as error:
            raise ValueError(f"not an event of Anthropic's in its place: {error!r}") from None

    def _read(self, event: Json) -> list[Json]:
        match event["type"]:
            case "content_block_delta":
                return self._grew(event["index"], event["delta"])
            case "content_block_start":
                return self._started(event["index"], event["content_block"])
            case "content_block_stop":
                return self._stopped(event["index"])
            case "message_start":
                return self._opened(event["message"])
            case "message_delta":
                return self._finish(event)
            case "message_stop" if self._finished:
                self.ended = True
                return [self._chunk([]) | {"usage": (self.usage or NOTHING).for_chat()}]
            case "error":
                self.failed = True
                return [openai_error(event, status_of(event))]
        return []  # a ping, or what was added to the API since

    def _opened(self, message: Json) -> list[Json]:
        self._told_usage = said_fields(message.get("usage"))
        self.usage = Usage.of_anthropic(self._told_usage)
        self._tier = chat_tier(self._told_usage)
        self._id, self._model = message["id"], message["model"]
        return [self._said({"role": "assistant", "content": ""})]

    def _started(self, index: int, block: Json) -> list[Json]:
        match block["type"]:
            case "text" if block["text"]:
                return self._real({"content": block["text"]})
            case "thinking":
                self._thinking[index] = [], []
                return [
                    chunk
                    for name in ("thinking", "signature")
                    for chunk in self._grew(index, {"type": f"{name}_delta", name: block.get(name) or ""})
                ]
            case "redacted_thinking":
                return self._thought(block)
            case "tool_use":
                self._calls[index] = len(self._calls)
                arguments = written(block["input"]) if block["input"] else ""
                if not arguments:
                    self._unargued.add(index)
                call = {"index": self._calls[index]} | tool_call(block["id"], block["name"], arguments)
                return self._real({"tool_calls": [call]})
        return []  # of a server tool, which nobody can have asked for

    def _grew(self, index: int, delta: Json) -> list[Json]:
        match delta["type"]:
            case "text_delta" if delta["text"]:
                return self._real({"content": said_text(delta["text"])})
            case "input_json_delta" if delta["partial_json"] and index in self._calls:
                self._unargued.discard(index)
                call = {"index": self._calls[index], "function": {"arguments": said_text(delta["partial_json"])}}
                return self._real({"tool_calls": [call]})
            case "thinking_delta" if delta["thinking"]:
                self._thinking[index][0].append(delta["thinking"])
                return self._real({"reasoning_content": said_text(delta["thinking"])})
            case "signature_delta":
                self._thinking[index][1].append(delta["signature"])
        return []

    def _stopped(self, index: int) -> list[Json]:
        if index in self._unargued:
            return self._real({"tool_calls": [{"index": self._calls[index], "function": {"arguments": "{}"}}]})
        if index in self._thinking:
            thinking, signature = map("".join, self._thinking.pop(index))
            return self._thought({"type": "thinking", "thinking": thinking, "signature": signature})
        return []

    def _thought(self, block: Json) -> list[Json]:
        """With an index: OpenAI's client puts no list together without."""
        self._thoughts += 1
        return self._real({"thinking_blocks": [{"index": self._thoughts - 1} | block]})

    def _finish(self, event: Json) -> list[Json]:
        """The figures are cumulative and lie over those of the start, of which some may be missing here."""
        told = said_fields(event.get("usage"))
        self._told_usage = self._told_usage | {name: n for name, n in told.items() if n is not None}
        self.usage = Usage.of_anthropic(self._told_usage)
        delta = event["delta"]
        if not delta["stop_reason"]:
            return []
        self._finished = True
        refusal = explanation(delta)
        choice = {
            "index": 0,
            "delta": {"refusal": refusal} if refusal else {},
            "logprobs": None,
            "finish_reason": FINISH_REASONS.get(delta["stop_reason"], "stop"),
        }
        return [self._chunk([choice | matched(delta)])]

    def _real(self, delta: Json) -> list[Json]:
        self.began = True
        return [self._said(delta)]

    def _said(self, delta: Json) -> Json:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _chunk(self, choices: list[Json]) -> Json:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
            **self._tier,
        }
