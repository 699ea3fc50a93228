"""A chat completion as the response object of `/v1/responses`."""

from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.responses_items import sealed
from serve_apps.gateway.dialects.usage import Usage

ECHOED = (
    "instructions", "max_output_tokens", "metadata", "prompt_cache_key", "reasoning", "safety_identifier",
    "temperature", "text", "top_p", "user",
)  # fmt: skip
NO_MORE: Json = {"parameters": None, "strict": None}
"""What OpenAI tells of a tool of which the client did not say it."""
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_object(request: Json, completion: Json, response_id: str) -> Json:
    """`request` is the client's, of which a response repeats what it was made with; ids of items are made of
    `response_id`. Raises ValueError where it is not a chat completion.
    """
    try:
        choice = completion["choices"][0]
        output = _output(choice["message"], response_id)
        usage = Usage.of_chat(completion.get("usage"))
        begun = begun_response(request, completion, response_id)
        return begun | ended_response(output, choice["finish_reason"], usage)
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not a chat completion: {error!r}") from None


def begun_response(request: Json, answer: Json, response_id: str) -> Json:
    """With nothing in it yet. `answer` is the completion or the first chunk of one."""
    found: Json = {name: request.get(name) for name in ECHOED}
    return found | {
        "id": response_id,
        "object": "response",
        "created_at": answer["created"],
        "model": answer["model"],
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": [NO_MORE | tool for tool in request.get("tools") or []],
        "service_tier": answer.get("service_tier"),
        "background": False,
        "store": False,
        "truncation": "disabled",
        "usage": None,
    }


def ended_response(output: list[Json], finish_reason: str, usage: Usage) -> Json:
    """What differs at the end. The last item is as incomplete as the answer."""
    reason = INCOMPLETE.get(finish_reason)
    if reason and output:
        output = [*output[:-1], output[-1] | {"status": "incomplete"}]
    return {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": usage.for_responses(),
    }


def reasoning_item(item_id: str, text: str, blocks: list[Json]) -> Json:
    content = [{"type": "reasoning_text", "text": text}] if text else []
    found: Json = {"id": item_id, "type": "reasoning", "summary": [], "content": content, "status": "completed"}
    return found | ({"encrypted_content": sealed(blocks)} if blocks else {})


def message_item(item_id: str, content: list[Json]) -> Json:
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": content}


def text_content(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(item_id: str, call_id: str, name: str, arguments: str) -> Json:
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def _output(said: Json, response_id: str) -> list[Json]:
    items: list[Json] = []
    thought, blocks = said.get("reasoning_content") or said.get("reasoning") or "", said.get("thinking_blocks") or []
    if thought or blocks:
        items.append(reasoning_item(item_id("rs", response_id, 0), thought, blocks))
    content = [text_content(said["content"])] if said.get("content") else []
    if said.get("refusal"):
        content.append({"type": "refusal", "refusal": said["refusal"]})
    if content:
        items.append(message_item(item_id("msg", response_id, len(items)), content))
    for call in said.get("tool_calls") or []:
        function = call["function"]
        made = item_id("fc", response_id, len(items))
        items.append(call_item(made, call["id"], function["name"], function["arguments"]))
    return items


def item_id(kind: str, response_id: str, place: int) -> str:
    return f"{kind}_{response_id}_{place}"
