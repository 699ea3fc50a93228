"""Redaction: what was taken out, where, and what is put back."""

from __future__ import annotations

import json
from typing import Any

from serve_apps.gateway.body import EMBEDDINGS, parse_request
from tests.serve_apps.gateway.filters.asking import answer_of, asking, context, filters, said, through

RESTORED = {"type": "redact", "presets": ["email"], "on": "request", "restore": True}


def test_secrets_are_taken_out_of_everything_that_the_model_reads() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"to": "c@x.org"}'}}
    messages = [
        {"role": "system", "content": "I am a@x.org."},
        {"role": "user", "content": [{"type": "text", "text": "b@x.org"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "reasoning_content": "d@x.org?", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sent to c@x.org"},
    ]
    request = asking("", messages=messages)
    asked = filters({"type": "redact", "presets": ["email"]}).on_request(request, context())
    assert "x.org" not in asked.raw.decode()
    assert asked.document["messages"][1]["content"][1] == {"type": "image_url", "image_url": {}}
    assert json.loads(asked.raw) == asked.document
    assert request.document["messages"] == messages, "the client's own request is never changed in place"


def test_embeddings_are_redacted_and_tokens_stay() -> None:
    told: dict[str, Any] = {"model": "e", "input": ["a@x.org", "plain"]}
    request = parse_request(EMBEDDINGS, json.dumps(told).encode())
    one = filters({"type": "redact", "presets": ["email"]})
    assert one.on_request(request, context()).document["input"] == ["[email]", "plain"]
    tokens = parse_request(EMBEDDINGS, json.dumps({"model": "e", "input": [[1, 2], [3]]}).encode())
    assert one.on_request(tokens, context()) is tokens


def test_a_request_in_which_nothing_is_found_goes_on_as_it_came() -> None:
    request = asking("nothing here")
    assert filters({**RESTORED, "restore": False}).on_request(request, context()) is request


def test_the_answer_has_again_what_was_taken_out_of_the_request() -> None:
    one, about = filters(RESTORED), context()
    asked = one.on_request(asking("Mail a@x.org and b@x.org, then a@x.org."), about)
    assert asked.document["messages"][0]["content"] == "Mail [email-1] and [email-2], then [email-1]."
    answering = one.answering(about)
    assert answering is not None
    told = answering.whole(answer_of("I wrote to [email-2], not to [email-1] or [email-7]."))
    assert told["choices"][0]["message"]["content"] == "I wrote to b@x.org, not to a@x.org or [email-7]."


def test_a_placeholder_that_the_client_wrote_itself_comes_back_as_it_was() -> None:
    one, about = filters(RESTORED), context()
    asked = one.on_request(asking("[email-1] stands for a@x.org"), about)
    assert asked.document["messages"][0]["content"] == "[placeholder-1] stands for [email-2]"
    answering = one.answering(about)
    assert answering is not None
    told = answering.whole(answer_of("[placeholder-1], [email-2]"))
    assert told["choices"][0]["message"]["content"] == "[email-1], a@x.org"


def test_the_arguments_of_a_call_get_back_what_was_taken_out_as_json() -> None:
    named = {"type": "redact", "patterns": [{"name": "quote", "pattern": '"[a-z]+"'}], "restore": True}
    one, about = filters(named), context()
    one.on_request(asking('He said "no".'), about)
    answering = one.answering(about)
    assert answering is not None
    pieces = ['{"said": "[quo', 'te-1]"}']
    deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    chunks, _ = through(answering, deltas)
    calls = [call for one in chunks for c in one["choices"] for call in c["delta"].get("tool_calls", ())]
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"said": '"no"'}


def test_an_address_that_a_stream_cuts_is_redacted_and_plain_words_do_not_wait() -> None:
    answering = filters({"type": "redact", "presets": ["email"], "on": "response"}).answering(context())
    assert answering is not None
    chunks, done = through(answering, [{"content": text} for text in ("Write ", "to ada@ex", "ample.o", "rg ", "now.")])
    assert said(chunks) == "Write to [email] now."
    assert done
    assert said(chunks[:1]) == "Write "


def test_the_probabilities_of_tokens_do_not_tell_what_was_taken_out() -> None:
    answering = filters({"type": "redact", "presets": ["email"], "on": "response"}).answering(context())
    assert answering is not None
    whole = answer_of("a@x.org")
    whole["choices"][0]["logprobs"] = {"content": [{"token": "a@x.org", "logprob": 0.0}]}
    assert "x.org" not in json.dumps(answering.whole(whole))


def test_the_role_is_told_although_the_first_word_is_held_back() -> None:
    answering = filters({"type": "redact", "presets": ["email"], "on": "response"}).answering(context())
    assert answering is not None
    chunks, _ = through(answering, [{"role": "assistant", "content": "ada"}])
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert said(chunks) == "ada"
