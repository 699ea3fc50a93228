"""What went wrong, as each dialect writes it, mapped by HTTP status as both document it."""

from typing import Any

from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.errors import AUTHENTICATION, INVALID_REQUEST, PERMISSION, SERVER

ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
OPENAI_TYPES = {401: AUTHENTICATION, 403: PERMISSION, 429: "rate_limit_error"}
STATUSES = {kind: status for status, kind in ANTHROPIC_TYPES.items()} | {
    "request_too_large": 413,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    SERVER: 500,
}
"""By either dialect's type; an `overloaded_error` is Anthropic's 529."""


def status_of(document: Json) -> int:
    """The HTTP status that an error object of either dialect stands for, where a stream sent it and there is none
    other: vLLM's integer `code`, or what the type says, or 500.
    """
    error = _error(document)
    code, kind = error.get("code"), error.get("type")
    if type(code) is int and 400 <= code <= 599:
        return code
    return STATUSES.get(kind, 500) if isinstance(kind, str) else 500


def anthropic_error(document: Json, status: int) -> Json:
    """Of an error object of OpenAI's."""
    kind = ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": _message(document)}}


def openai_error(document: Json, status: int) -> Json:
    """Of an error object of Anthropic's, whose type is kept as the code."""
    kind = OPENAI_TYPES.get(status, INVALID_REQUEST if status < 500 else SERVER)
    told = _error(document).get("type")
    code = told if isinstance(told, str) else None
    return {"error": {"message": _message(document), "type": kind, "param": None, "code": code}}


def _error(document: Json) -> Json:
    error: Any = document.get("error")
    return error if isinstance(error, dict) else {"message": error}


def _message(document: Json) -> str:
    message = _error(document).get("message")
    return message if isinstance(message, str) and message else "The backend reported an error without saying which."
