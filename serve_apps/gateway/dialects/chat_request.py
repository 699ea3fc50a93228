"""A request to Anthropic's `/v1/messages` as a chat request."""

from serve_apps.gateway.dialects.chat_messages import chat_messages
from serve_apps.gateway.dialects.reading import Json, a_number, a_string, an_array, an_object, picked, refuse
from serve_apps.gateway.dialects.thinking import chat_effort
from serve_apps.gateway.dialects.tools import chat_tools
from serve_apps.gateway.errors import invalid_value

SAME = ("model", "temperature", "top_p", "top_k")
TIERS = {"auto": "auto", "standard_only": "default"}


def chat_request(request: Json) -> Json:
    """A stream is asked for its usage, which Anthropic's always tell.

    Raises ApiError 400 naming the parameter for what runs at Anthropic only: server tools, containers, stored files,
    documents by URL. Dropped is what places or bills a request there (`inference_geo`, `speed`, `diagnostics`,
    `context_management`, `user_profile_id`, `workspace_id`) and every field unknown to both.

    The request has names that vLLM knows and OpenAI refuses; for OpenAI itself `without_extensions` takes them out.
    """
    refuse(request, ("mcp_servers", "container"), "cannot be used with the model that was asked for")
    if request.get("max_tokens") is None:
        raise invalid_value("max_tokens", "a number", None)
    found = picked(request, SAME) | {
        "messages": chat_messages(request),
        "max_completion_tokens": a_number(request["max_tokens"], "max_tokens"),
    }
    if request.get("stream"):
        found |= {"stream": True, "stream_options": {"include_usage": True}}
    stops = an_array(request.get("stop_sequences") or [], "stop_sequences")
    if stops:
        found["stop"] = [a_string(text, f"stop_sequences[{index}]") for index, text in enumerate(stops)]
    user = an_object(request.get("metadata") or {}, "metadata").get("user_id")
    if user is not None:
        found["user"] = a_string(user, "metadata.user_id")
    tier = request.get("service_tier")
    if isinstance(tier, str) and tier in TIERS:
        found["service_tier"] = TIERS[tier]
    return found | chat_effort(request) | _format(request) | chat_tools(request)


def _format(request: Json) -> Json:
    output_format = an_object(request.get("output_config") or {}, "output_config").get("format")
    if output_format is None:
        return {}
    name = "output_config.format"
    if an_object(output_format, name).get("type") != "json_schema":
        raise invalid_value(f"{name}.type", "json_schema", output_format.get("type"))
    schema = an_object(output_format.get("schema"), f"{name}.schema")
    # OpenAI demands a name; Anthropic always holds to the schema.
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    }
