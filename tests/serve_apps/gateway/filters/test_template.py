"""Templates around what people say: filled in once, and never evaluated."""

from __future__ import annotations

from typing import Any

from serve_apps.gateway.body import COMPLETIONS, parse_request
from tests.serve_apps.gateway.filters.asking import asking, context, filters


def asked(template: dict[str, Any], **request: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        filters({"type": "template", **template}).on_request(asking(**request), context()).document["messages"]
    )
    return found


def test_a_system_prompt_is_made_where_there_is_none() -> None:
    first, _ = asked({"system": {"prepend": "For {organization}, on {model}, to {user}."}}, content="Hi", user="u-1")
    assert first == {"role": "system", "content": "For acme, on gpt-4o, to u-1."}


def test_text_stands_around_the_system_prompt_of_the_client() -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    first, _ = asked({"system": {"prepend": "A", "append": "B"}}, content="", messages=messages)
    assert first["content"] == "A\n\nBe kind.\n\nB"


def test_the_system_prompt_of_the_client_is_replaced() -> None:
    messages = [{"role": "developer", "content": "Be rude."}, {"role": "user", "content": "Hi"}]
    assert asked({"system": {"replace": "Be kind."}}, content="", messages=messages) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]


def test_only_the_last_message_of_the_user_is_wrapped_and_pictures_stay() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    messages = [{"role": "user", "content": "One"}, {"role": "user", "content": [picture]}]
    one, two = asked({"user": "Look: {prompt} Briefly."}, content="", messages=messages)
    assert one["content"] == "One"
    assert [part.get("text") for part in two["content"]] == ["Look: ", None, " Briefly."]


def test_braces_of_the_user_and_of_other_text_stay_as_they_are() -> None:
    (message,) = asked({"user": '{"q": "{prompt}"} {other}'}, content="{model} {prompt} $x {0.__class__}")
    assert message["content"] == '{"q": "{model} {prompt} $x {0.__class__}"} {other}'


def test_the_prompt_of_a_completion_is_what_the_user_said() -> None:
    request = parse_request(COMPLETIONS, b'{"model": "m", "prompt": "Hi"}')
    told = filters({"type": "template", "user": "<{prompt}>"}).on_request(request, context())
    assert (told.document["prompt"], told.prompt) == ("<Hi>", "<Hi>")
