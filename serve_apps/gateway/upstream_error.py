"""What the client is told of an upstream's answer that is not a success: the upstream's own words about the request, or
that who was asked is not available. Pure.
"""

from __future__ import annotations

from serve_apps.gateway.dialects.error_object import OPENAI_TYPES
from serve_apps.gateway.dialects.reading import said_fields, said_object
from serve_apps.gateway.errors import INVALID_REQUEST, NOT_FOUND, ApiError, Failure, model_unavailable

BAD_GATEWAY = 502
"""What HAProxy says of a replica that dies before it has answered."""
NOT_THE_CLIENT_S = (401, 402, 403, NOT_FOUND)
"""A refused key of ours, our money, a model that is not known where we asked for it."""


def of_engine(model: str, status: int, body: bytes) -> ApiError:
    """An answer that is no OpenAI error is none of the engine's (HAProxy's pages: no replica, no such route): another
    replica may answer.
    """
    failure = Failure.BROKEN if status == BAD_GATEWAY else Failure.FAILED
    return _said(status, body) or model_unavailable(model, f"its server answered {status}", failure)


def of_provider(name: str, status: int, body: bytes) -> ApiError:
    """`name` is the backend's. What its proxy says of the request, in a page of its own, keeps its status, too."""
    if not _is_the_client_s(status):
        return model_unavailable(name, f"it answered {status}")
    return _said(status, body) or _error(status, None, f"The backend {name} answered {status} without saying why.")


def _said(status: int, body: bytes) -> ApiError | None:
    try:
        told = said_fields(said_object(body).get("error"))
    except ValueError:
        return None
    message, code, param = told.get("message"), told.get("code") or told.get("type"), told.get("param")
    if not _is_the_client_s(status) or not isinstance(message, str):
        return None
    # vLLM repeats the HTTP status as an integer; clients switch on strings.
    return _error(status, code if isinstance(code, str) else None, message, param if isinstance(param, str) else None)


def _is_the_client_s(status: int) -> bool:
    return 400 <= status < 500 and status not in NOT_THE_CLIENT_S


def _error(status: int, code: str | None, message: str, param: str | None = None) -> ApiError:
    code = code or ("rate_limit_exceeded" if status == 429 else "invalid_request")
    return ApiError(status, code, message, kind=OPENAI_TYPES.get(status, INVALID_REQUEST), param=param)
