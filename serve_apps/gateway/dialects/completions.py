"""`/v1/completions` by way of a chat: for backends that only chat."""

from serve_apps.gateway.dialects.reading import Json, a_string, picked, refuse, unsupported

SAME = (
    "model", "max_tokens", "temperature", "top_p", "top_k", "n", "stop", "seed", "stream", "stream_options", "user",
    "frequency_penalty", "presence_penalty", "logit_bias",
)  # fmt: skip
UNSAYABLE = ("suffix", "echo", "logprobs")
FINISH_REASONS = {"length": "length", "content_filter": "content_filter"}


def completions_chat_request(request: Json) -> Json:
    """The prompt as the message of one user. Raises ApiError 400 naming the parameter where it is of tokens or several,
    or where a chat cannot do what is asked.
    """
    reason = "cannot be used with the model that was asked for, which only chats"
    refuse(request, UNSAYABLE, reason)
    if request.get("best_of") not in (None, 1):
        raise unsupported("best_of", reason)
    prompt = request.get("prompt")
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise unsupported("prompt", "must be one text for the model that was asked for, which only chats")
        prompt = prompt[0]
    return picked(request, SAME) | {"messages": [{"role": "user", "content": a_string(prompt, "prompt")}]}


def text_completion(completion: Json) -> Json:
    """A chat completion as one of text. Thoughts are left out. Raises ValueError where it is not a chat completion."""
    try:
        choices = [_choice(choice, choice["message"]) for choice in completion["choices"]]
        usage = picked(completion, ("usage",))
        return _head(completion) | {"choices": choices} | usage
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"not a chat completion: {error!r}") from None


def text_chunks(chunk: Json) -> list[Json]:
    """A chat chunk as one of text, or as none where it has nothing for a completion; an error is the same in both.

    Whether the stream began, failed or ended, and its usage, are told by who made the chat chunk. Raises ValueError
    where it is none.
    """
    if chunk.get("error"):
        return [chunk]
    try:
        choices = [
            _choice(choice, choice["delta"])
            for choice in chunk["choices"]
            if choice["delta"].get("content") or choice["finish_reason"]
        ]
        usage = picked(chunk, ("usage",))
        return [_head(chunk) | {"choices": choices} | usage] if choices or usage else []
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"not a chunk of a chat completion: {error!r}") from None


def _head(answer: Json) -> Json:
    return {
        "id": answer["id"],
        "object": "text_completion",
        "created": answer["created"],
        "model": answer["model"],
    }


def _choice(choice: Json, said: Json) -> Json:
    reason = choice["finish_reason"]
    return {
        "index": choice["index"],
        "text": said.get("content") or "",
        "logprobs": None,
        "finish_reason": FINISH_REASONS.get(reason, "stop") if reason else None,
    }
