"""Every refusal the gateway makes, in OpenAI's shape. Pure: builds values, sends nothing."""

import difflib
import json
from collections.abc import Collection
from enum import Enum
from typing import Any

INVALID_REQUEST = "invalid_request_error"
AUTHENTICATION = "authentication_error"
PERMISSION = "permission_error"
SERVER = "server_error"
NOT_FOUND = 404
LONGEST_NAME = 128
"""Characters of a name that are looked at and repeated."""


class Failure(Enum):
    """What went wrong at a replica with a request of which nothing was answered yet: another replica may answer it."""

    UNREACHED = "it cannot be connected to: nothing was sent"
    FAILED = "it answered with a failure"
    BROKEN = "it broke off: the connection, and perhaps the replica with it"
    SILENT = "it is stuck or has not been heard of for a while, and the request was taken back from it"


class ApiError(Exception):
    """An answer that is not the wanted one: an HTTP status and the OpenAI error object to send with it.

    `failure` is None where no other replica would answer better.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = INVALID_REQUEST,
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        failure: Failure | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.param = param
        self.headers = headers
        self.failure = failure

    def body(self) -> bytes:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


class FilterError(ApiError):
    """A filter of the route refused the request or its answer, or failed: whoever else is asked, it stays so."""


def invalid_json(reason: str) -> ApiError:
    return ApiError(400, "invalid_json", f"The request body is not valid JSON: {reason}")


def invalid_value(param: str, expected: str, found: Any) -> ApiError:
    """`found` is the value as parsed, or None where the name is missing."""
    told = "it is missing" if found is None else f"found {_json_type(found)}"
    return ApiError(400, "invalid_value", f"'{param}' must be {expected}; {told}.", param=param)


def invalid_api_key(reason: str) -> ApiError:
    challenge = (b"www-authenticate", b"Bearer")
    return ApiError(401, "invalid_api_key", reason, kind=AUTHENTICATION, headers=(challenge,))


def model_not_allowed(key: str, model: str) -> ApiError:
    message = f"The API key '{key}' may not be used for the model '{short_name(model)}'."
    return ApiError(403, "model_not_allowed", message, kind=PERMISSION, param="model")


def route_not_allowed(key: str, route: str) -> ApiError:
    message = f"The API key '{key}' may not be used for the route '{route}'."
    return ApiError(403, "route_not_allowed", message, kind=PERMISSION)


def metrics_not_allowed(key: str) -> ApiError:
    message = f"The API key '{key}' may not read the metrics of all: it has scopes or limits."
    return ApiError(403, "metrics_not_allowed", message, kind=PERMISSION)


def request_too_large(limit: int) -> ApiError:
    return ApiError(413, "request_too_large", f"The request body is larger than {limit} bytes.")


def unknown_path(path: str) -> ApiError:
    return ApiError(404, "unknown_path", f"There is nothing at {path}.")


def method_not_allowed(method: str, allowed: tuple[str, ...]) -> ApiError:
    listed = ", ".join(allowed)
    message = f"{method} is not allowed here; allowed: {listed}."
    return ApiError(405, "method_not_allowed", message, headers=((b"allow", listed.encode()),))


def request_too_slow(limit_s: float) -> ApiError:
    message = f"The request body did not come within {limit_s:g} s."
    return ApiError(408, "request_timeout", message)


def model_not_found(model: str, served: Collection[str]) -> ApiError:
    model = short_name(model)
    nearest = difflib.get_close_matches(model, served, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    listed = ", ".join(sorted(served)) or "none"
    message = f"The model '{model}' does not exist.{hint} Models served: {listed}."
    return ApiError(404, "model_not_found", message, param="model")


def model_unavailable(model: str, reason: str, failure: Failure | None = None) -> ApiError:
    message = f"The model '{short_name(model)}' is not available now: {reason}."
    retry_after = (b"retry-after", b"2")
    return ApiError(503, "model_unavailable", message, kind=SERVER, headers=(retry_after,), failure=failure)


def metrics_unavailable() -> ApiError:
    message = "The metrics cannot be read now."
    return ApiError(503, "metrics_unavailable", message, kind=SERVER, headers=((b"retry-after", b"2"),))


def not_ready() -> ApiError:
    message = "The gateway has not read its table yet."
    return ApiError(503, "not_ready", message, kind=SERVER, headers=((b"retry-after", b"1"),))


def upstream_timeout(model: str) -> ApiError:
    return ApiError(504, "upstream_timeout", f"The model '{model}' did not answer in time.", kind=SERVER)


def internal_error() -> ApiError:
    return ApiError(500, "internal_error", "The gateway failed to handle this request.", kind=SERVER)


def short_name(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")
