"""What each part of a request becomes in the other dialect, and what is refused."""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from serve_apps.gateway.dialects.anthropic_request import anthropic_request
from serve_apps.gateway.dialects.chat_extensions import may_have_extensions, without_extensions
from serve_apps.gateway.dialects.chat_request import chat_request
from serve_apps.gateway.dialects.completions import completions_chat_request
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.responses_request import responses_chat_request
from serve_apps.gateway.errors import ApiError
from tests.serve_apps.gateway.dialects.official import is_anthropic_request, is_chat_request
from tests.serve_apps.gateway.dialects.requests import ANTHROPIC, CACHED, CHAT, COMPLETION, PNG, RESPONSES, SCHEMA

HI: Json = {"role": "user", "content": "hi"}
TOOL: Json = {"type": "function", "function": {"name": "f"}}
SEEN: Json = {"type": "input_image", "image_url": "u"}


def asking(part: Json) -> Json:
    return {"messages": [{"role": "user", "content": [part]}]}


def to_anthropic(**fields: Any) -> Json:
    found = anthropic_request({"model": "m", "messages": [HI]} | fields, default_max_tokens=10)
    assert is_anthropic_request(found)
    return found


def to_chat(**fields: Any) -> Json:
    found = chat_request({"model": "m", "max_tokens": 10, "messages": [HI]} | fields)
    assert is_chat_request(found)
    return found


def from_responses(**fields: Any) -> Json:
    found = responses_chat_request({"model": "m", "input": "hi"} | fields)
    assert is_chat_request(found)
    return found


def test_a_chat_request_with_everything_becomes_the_one_of_anthropics() -> None:
    expected = ANTHROPIC | {"messages": ANTHROPIC["messages"].copy()}
    results = [
        {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
        *ANTHROPIC["messages"][2]["content"][1:],
    ]
    expected["messages"][2] = {"role": "user", "content": results}
    assert anthropic_request(CHAT | {"top_k": 40}, default_max_tokens=10) == expected
    assert is_anthropic_request(expected)


def test_a_request_of_anthropics_with_everything_becomes_a_chat_request() -> None:
    found = chat_request(ANTHROPIC)
    assert is_chat_request(found)
    assert found["messages"][0] == {"role": "system", "content": ANTHROPIC["system"]}
    asked, said, sunny, unknown, tomorrow = found["messages"][1:]
    assert asked["content"] == [
        {"type": "text", "text": "Weather here?"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        CHAT["messages"][2]["content"][3],
    ]
    assert said == CHAT["messages"][3]
    assert sunny == CHAT["messages"][4]
    assert unknown == CHAT["messages"][5] | {"content": "no such city"}
    assert tomorrow == CHAT["messages"][6]
    same = (
        "max_completion_tokens", "temperature", "top_p", "stop", "stream", "stream_options", "user", "service_tier",
        "reasoning_effort", "response_format", "parallel_tool_calls", "tool_choice", "tools",
    )  # fmt: skip
    assert {name: found[name] for name in same} == {name: CHAT[name] for name in same}


def test_a_responses_request_with_everything_becomes_a_chat_request() -> None:
    found = responses_chat_request(RESPONSES)
    assert is_chat_request(found)
    assert found["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Weather here?"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}},
                CHAT["messages"][2]["content"][3],
            ],
        },
        CHAT["messages"][3],
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
        {"role": "user", "content": "And tomorrow?"},
    ]
    same = ("max_completion_tokens", "temperature", "stream", "stream_options", "reasoning_effort", "response_format")
    assert {name: found[name] for name in same} == {name: CHAT[name] for name in same}
    assert found["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert found["tools"] == [
        {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}
    ]
    assert "store" not in found


def test_a_completion_is_asked_for_as_a_chat_of_one_message() -> None:
    found = completions_chat_request(COMPLETION)
    assert is_chat_request(found)
    assert found["messages"] == [{"role": "user", "content": "Once upon"}]
    assert (found["max_tokens"], found["stop"]) == (100, "END")
    assert completions_chat_request({"model": "m", "prompt": ["hi"]})["messages"] == [HI]


def test_openai_itself_gets_no_name_that_it_does_not_know() -> None:
    found = without_extensions(chat_request(ANTHROPIC))
    assert is_chat_request(found)
    written = json.dumps(found)
    for name in ("cache_control", "thinking_blocks", "reasoning_content", "is_error", "top_k"):
        assert f'"{name}"' not in written


def test_a_chat_of_names_that_openai_knows_is_not_looked_through() -> None:
    plain = {"model": "m", "messages": [HI], "tools": [TOOL], "temperature": 1, "stop": ["a"], "user": "u"}
    assert not may_have_extensions(json.dumps(plain).encode())
    for name in ("cache_control", "thinking_blocks", "reasoning_content", "is_error", "top_k"):
        assert may_have_extensions(json.dumps({**plain, name: 1}).encode())


def test_a_bound_that_is_not_set_is_filled_in() -> None:
    assert to_anthropic()["max_tokens"] == 10
    assert to_anthropic(max_tokens=5)["max_tokens"] == 5
    assert to_anthropic(max_tokens=5, max_completion_tokens=7)["max_tokens"] == 7
    assert to_anthropic(max_tokens=5, max_completion_tokens=None)["max_tokens"] == 5


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        ("auto", True, {"type": "auto"}),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (TOOL, False, {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
    ],
)
def test_a_choice_of_tools_is_said_both_ways(choice: Any, parallel: bool | None, expected: Json | None) -> None:
    asked = {"tool_choice": choice, "parallel_tool_calls": parallel}
    there = to_anthropic(tools=[TOOL], **asked)
    assert there.get("tool_choice") == expected
    back = to_chat(tools=there["tools"], **({"tool_choice": expected} if expected else {}))
    assert back.get("tool_choice") == (choice or ("auto" if parallel is False else None))
    assert back.get("parallel_tool_calls") == (False if expected and "disable_parallel_tool_use" in expected else None)


def test_a_tool_without_parameters_takes_none() -> None:
    assert to_anthropic(tools=[TOOL])["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


@pytest.mark.parametrize("effort", ["low", "medium", "high", "xhigh", "max", "none"])
def test_an_effort_is_said_both_ways(effort: str) -> None:
    there = to_anthropic(reasoning_effort=effort)
    assert there["thinking"] == {"type": "disabled" if effort == "none" else "adaptive"}
    back = to_chat(thinking=there["thinking"], output_config=there.get("output_config"))
    assert back["reasoning_effort"] == effort


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (8000, "medium"), (32_000, "high")])
def test_a_budget_of_thinking_is_said_as_an_effort(budget: int, effort: str) -> None:
    assert to_chat(thinking={"type": "enabled", "budget_tokens": budget})["reasoning_effort"] == effort


def test_nobody_is_made_to_think_where_a_tool_is_forced_or_thinking_is_set() -> None:
    assert "thinking" not in to_anthropic(reasoning_effort="high", tools=[TOOL], tool_choice="required")
    mine = {"type": "enabled", "budget_tokens": 2000}
    assert to_anthropic(reasoning_effort="high", thinking=mine)["thinking"] == mine


def test_thoughts_that_nobody_signed_are_not_sent_to_anthropic() -> None:
    unsigned = {"type": "thinking", "thinking": "hm", "signature": ""}
    redacted = {"type": "redacted_thinking", "data": "xyz"}
    blocks = [unsigned, redacted | {"index": 1}]
    said = {"role": "assistant", "content": "ok", "thinking_blocks": blocks, "reasoning_content": "hm"}
    turns = to_anthropic(messages=[HI, said, HI])["messages"]
    assert turns[1]["content"] == [redacted, {"type": "text", "text": "ok"}]


def test_system_messages_wherever_they_stand_come_first() -> None:
    late = {"role": "developer", "content": "In French."}
    found = to_anthropic(messages=[{"role": "system", "content": "Be brief."}, HI, late])
    assert found["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In French."}]
    assert found["messages"] == [HI]
    assert to_anthropic(messages=[late, HI])["system"] == "In French."


def test_a_system_message_between_turns_stays_there_in_a_chat() -> None:
    told = {"role": "system", "content": "In French."}
    assert to_chat(messages=[HI, told])["messages"] == [HI, told]


def test_images_of_a_tool_result_follow_in_a_message_of_the_user() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    text = {"type": "text", "text": "a map"}
    result = {"type": "tool_result", "tool_use_id": "c", "content": [text, image]}
    found = to_chat(messages=[{"role": "user", "content": [{"type": "text", "text": "Where?"}, result]}])["messages"]
    assert found == [
        {"role": "tool", "tool_call_id": "c", "content": "a map"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": PNG}}, {"type": "text", "text": "Where?"}],
        },
    ]


def test_documents_of_text_are_read_to_the_model() -> None:
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once."}}
    blocks = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Upon."}]}}
    found = {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "A."}]}
    content = to_chat(messages=[{"role": "user", "content": [plain, blocks, found]}])["messages"][0]["content"]
    assert [part["text"] for part in content] == ["Once.", "Upon.", "A."]


def test_a_file_of_text_is_a_document_of_anthropics() -> None:
    data = base64.b64encode("Grüße".encode()).decode()
    part = {"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;charset=utf-8;base64,{data}"}}
    [block] = to_anthropic(messages=[{"role": "user", "content": [part]}])["messages"][0]["content"]
    source = {"type": "text", "media_type": "text/plain", "data": "Grüße"}
    assert block == {"type": "document", "source": source, "title": "a.txt"}


@pytest.mark.parametrize("arguments", ["{", "[1]", '{"a": NaN}', "[" * 100_000])
def test_arguments_that_are_no_object_are_shown_as_anthropic_asks(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turns = to_anthropic(messages=[HI, {"role": "assistant", "tool_calls": [call]}])["messages"]
    assert turns[1]["content"][0]["input"] == {"INVALID_JSON": arguments}


def test_arguments_that_are_nested_too_deep_to_be_written_are_refused() -> None:
    depth = sys.getrecursionlimit()
    deep: Json = {}
    for _ in range(depth):
        deep = {"a": deep}
    call = {"type": "tool_use", "id": "c", "name": "f", "input": deep}
    refused(to_chat, {"messages": [{"role": "assistant", "content": [call]}]}, "messages[0].content[0].input")


def test_ids_of_calls_that_anthropic_would_refuse_are_changed_alike_everywhere() -> None:
    call = {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": ""}}
    result = {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"}
    turns = to_anthropic(messages=[HI, {"role": "assistant", "tool_calls": [call]}, result])["messages"]
    assert turns[1]["content"][0]["id"] == turns[2]["content"][0]["tool_use_id"] == "functions_2e_f_3a_0"


def test_messages_that_say_nothing_are_left_out() -> None:
    said = {"role": "assistant", "content": ""}
    assert to_anthropic(messages=[HI, said, HI])["messages"][0]["content"] == [
        {"type": "text", "text": "hi"},
        {"type": "text", "text": "hi"},
    ]


def test_what_the_other_side_does_not_know_and_does_not_need_is_dropped() -> None:
    assert to_anthropic(seed=1, store=True, metadata={"a": "b"}, verbosity="low", min_p=0.1) == to_anthropic()
    assert to_chat(inference_geo="eu", speed="fast", context_management={}, anything=1) == to_chat()
    assert from_responses(store=True, include=["reasoning.encrypted_content"], anything=1) == from_responses()


def test_a_response_request_may_be_one_string() -> None:
    assert from_responses()["messages"] == [HI]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"functions": [{}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"stop": [1]}, "stop[0]"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "function"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages[0].audio"),
        (asking({"type": "input_audio"}), "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            asking({"type": "file", "file": {"file_id": "x"}}),
            "messages[0].content[0].file",
        ),
        (
            asking({"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,aGk="}}),
            "messages[0].content[0].image_url.url",
        ),
        (
            asking({"type": "image_url", "image_url": {"url": "data:image/png,hi"}}),
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_a_chat_request_that_anthropic_cannot_be_asked_is_refused_by_name(fields: Json, param: str) -> None:
    refused(to_anthropic, fields, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]},
            "messages[0].content[0].type",
        ),
        (
            asking({"type": "image", "source": {"type": "file", "file_id": "f"}}),
            "messages[0].content[0].source.type",
        ),
        (
            asking({"type": "document", "source": {"type": "url", "url": "u"}}),
            "messages[0].content[0].source.type",
        ),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ],
)
def test_a_request_of_anthropics_that_only_runs_there_is_refused_by_name(fields: Json, param: str) -> None:
    refused(to_chat, fields, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_0"}, "previous_response_id"),
        ({"conversation": "conv"}, "conversation"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": ""}]}, "input[0].call_id"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [SEEN]}]},
            "input[0].output",
        ),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"input": None}, "input"),
    ],
)
def test_a_responses_request_for_what_is_not_here_is_refused_by_name(fields: Json, param: str) -> None:
    refused(from_responses, fields, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 2}, "logprobs"),
    ],
)
def test_a_completion_that_a_chat_cannot_be_asked_is_refused_by_name(fields: Json, param: str) -> None:
    refused(lambda **fields: completions_chat_request(COMPLETION | fields), fields, param)


def test_a_cache_mark_goes_along_with_what_it_marks() -> None:
    text = {"type": "text", "text": "hi", "cache_control": CACHED}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "cache_control": CACHED}
    messages = [
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1", "cache_control": CACHED},
    ]
    there = to_anthropic(messages=messages)["messages"]
    assert all(block["cache_control"] == CACHED for turn in there for block in turn["content"])
    assert to_chat(messages=there)["messages"] == messages


def refused(translation: Callable[..., Json], fields: Json, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        translation(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
