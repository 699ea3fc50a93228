"""Documents as the official clients see them: their types say what is right, their code puts streams together."""

from collections.abc import Iterable
from typing import Any, cast

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsBase
from anthropic.types.shared import ErrorResponse
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from serve_apps.gateway.dialects.reading import Json

ANTHROPIC_REQUEST = TypeAdapter[Any](MessageCreateParamsBase)
CHAT_REQUEST = TypeAdapter[Any](CompletionCreateParamsBase)
ANTHROPIC_EVENT = TypeAdapter[RawMessageStreamEvent](RawMessageStreamEvent)
RESPONSES_EVENT = TypeAdapter[Any](ResponseStreamEvent)


def is_anthropic_request(document: Json) -> bool:
    return bool(read(ANTHROPIC_REQUEST.validate_python(document)))


def is_chat_request(document: Json) -> bool:
    return bool(read(CHAT_REQUEST.validate_python(document)))


def is_message(document: Json) -> bool:
    return Message.model_validate(document, strict=True).type == "message"


def is_completion(document: Json) -> bool:
    return ChatCompletion.model_validate(document, strict=True).object == "chat.completion"


def is_chunk(document: Json) -> bool:
    return ChatCompletionChunk.model_validate(document, strict=True).object == "chat.completion.chunk"


def is_text_completion(document: Json) -> bool:
    return Completion.model_validate(document, strict=True).object == "text_completion"


def is_response(document: Json) -> bool:
    return Response.model_validate(document).object == "response"


def is_responses_event(document: Json) -> bool:
    return bool(RESPONSES_EVENT.validate_python(document).type == document["type"])


def is_anthropic_error(document: Json) -> bool:
    return ErrorResponse.model_validate(document).type == "error"


def read(value: Any) -> Any:
    """Pydantic checks what is iterable only when it is read."""
    if isinstance(value, dict):
        return {name: read(item) for name, item in value.items()}
    return [read(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def message_of(events: list[Json]) -> Json:
    """What Anthropic's client makes of a stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        read_event = ANTHROPIC_EVENT.validate_python(event)
        snapshot = accumulate_event(event=read_event, current_snapshot=snapshot, json_bufs=buffers)
    return cast(Json, snapshot.to_dict())


def openais_completion_of(chunks: list[Json]) -> Json:
    """What OpenAI's client makes of a stream of chat chunks."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return cast(Json, state.current_completion_snapshot.to_dict())


def completion_of(chunks: list[Json]) -> Json:
    """What a client makes of a stream of chat chunks, their extensions included, which OpenAI's own leaves out."""
    said: Json = {"role": "assistant", "content": None, "refusal": None}
    calls: dict[int, Json] = {}
    choice: Json = {"index": 0, "message": said, "logprobs": None}
    found: Json = {}
    for chunk in chunks:
        assert is_chunk(chunk)
        found |= chunk
        for told in chunk["choices"]:
            delta = told["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                if delta.get(name):
                    said[name] = (said.get(name) or "") + delta[name]
            if delta.get("thinking_blocks"):
                blocks = [block for block in delta["thinking_blocks"] if block.pop("index") is not None]
                said["thinking_blocks"] = said.get("thinking_blocks", []) + blocks
            for call in delta.get("tool_calls") or []:
                if call["index"] not in calls:
                    calls[call["index"]] = {"id": call["id"], "type": "function", "function": dict(call["function"])}
                else:
                    calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            choice |= {name: told[name] for name in ("finish_reason", "stop_reason") if told.get(name)}
    if calls:
        said["tool_calls"] = list(calls.values())
    return found | {"object": "chat.completion", "choices": [choice]}
