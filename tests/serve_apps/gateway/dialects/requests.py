"""One request of each surface with everything in it that official clients send, for tests to start from."""

from serve_apps.gateway.dialects.reading import Json

PNG = "data:image/png;base64,aGk="
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CACHED: Json = {"type": "ephemeral"}

CHAT: Json = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind.", "cache_control": CACHED}]},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "Weather here?"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "Where is it?",
            "thinking_blocks": [{"type": "thinking", "thinking": "Where is it?", "signature": "sig"}],
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}},
                {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Basel"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {
            "role": "tool",
            "tool_call_id": "call_2",
            "content": [{"type": "text", "text": "no such city"}],
            "is_error": True,
        },
        {"role": "user", "content": "And tomorrow?"},
    ],
    "max_completion_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["END"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "user": "ann",
    "service_tier": "default",
    "reasoning_effort": "high",
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}},
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [
        {
            "type": "function",
            "function": {"name": "weather", "description": "of a city", "parameters": SCHEMA, "strict": True},
            "cache_control": CACHED,
        }
    ],
}

ANTHROPIC: Json = {
    "model": "m",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", "cache_control": CACHED}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Weather here?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {
                    "type": "document",
                    "title": "a.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Where is it?", "signature": "sig"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bern"}},
                {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Basel"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [{"type": "text", "text": "no such city"}],
                    "is_error": True,
                },
                {"type": "text", "text": "And tomorrow?"},
            ],
        },
    ],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "stop_sequences": ["END"],
    "stream": True,
    "metadata": {"user_id": "ann"},
    "service_tier": "standard_only",
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "tools": [
        {
            "name": "weather",
            "description": "of a city",
            "input_schema": SCHEMA,
            "strict": True,
            "cache_control": CACHED,
        }
    ],
}

RESPONSES: Json = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Weather here?"},
                {"type": "input_image", "image_url": PNG, "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Where is it?"}],
            "encrypted_content": '[{"type":"thinking","thinking":"Where is it?","signature":"sig"}]',
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Bern"}'},
        {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": '{"city": "Basel"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "rain"}]},
        {"role": "user", "content": "And tomorrow?"},
    ],
    "max_output_tokens": 100,
    "temperature": 0.5,
    "stream": True,
    "store": True,
    "reasoning": {"effort": "high", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}},
    "parallel_tool_calls": False,
    "tool_choice": {"type": "function", "name": "weather"},
    "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}],
}

COMPLETION: Json = {
    "model": "m",
    "prompt": "Once upon",
    "max_tokens": 100,
    "stop": "END",
    "temperature": 0.5,
    "stream": True,
}
