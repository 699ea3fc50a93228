"""Every refusal of the vectors API, in OpenAI's shape, as the gateway's are. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from actors.vectors.answers import Failed, Unanswered
from actors.vectors.replication.errors import Degraded
from control.specs.problem import nearest, one_of, show
from serve_apps.gateway.errors import SERVER, ApiError

RETRY = ((b"retry-after", b"1"),)


def invalid(path: str, found: str, expected: str, near: str | None = None) -> ApiError:
    """`path` leads to the place in the request's body, as in `points[3].metadata.year`."""
    hint = f"; did you mean '{near}'?" if near else ""
    return ApiError(400, "invalid_value", f"{path}: {found}; expected {expected}{hint}", param=path)


def misshapen(reason: str) -> ApiError:
    """Of a body whose form is wrong, in the decoder's words: what was expected, what was found, and `$` and a path."""
    words, _, place = reason.partition(" - at `$.")
    path = place.rstrip("`")
    told = words[0].lower() + words[1:200]
    return ApiError(400, "invalid_value", f"{path or 'the body'}: {told}", param=path or None)


def no_token() -> ApiError:
    return invalid("token", "no token of this collection", "the token of an earlier answer")


def no_collection(name: str, known: Iterable[str]) -> ApiError:
    names = sorted(known)
    near = nearest(name[:64], names)
    hint = f" Did you mean '{near}'?" if near else ""
    message = f"There is no collection {show(name)}.{hint} There {one_of(names, 'is none')}."
    return ApiError(404, "collection_not_found", message.replace("There one of", "There are"), param="collection")


def not_written(error: Failed) -> ApiError:
    """A write that not all shards have acknowledged: sent again it does no harm."""
    has = f"; shards {', '.join(map(str, error.written))} have it" if error.written else ""
    message = f"The write was not acknowledged: {error}{has}. It may be sent again."
    if error.unknown:
        return ApiError(504, "outcome_unknown", message, kind=SERVER)
    return ApiError(503, "not_written", message, kind=SERVER, headers=RETRY)


def unanswered(error: Unanswered | Degraded) -> ApiError:
    return ApiError(503, "shards_unavailable", f"The question was not answered: {error}.", kind=SERVER, headers=RETRY)


def internal_error() -> ApiError:
    return ApiError(500, "internal_error", "The vectors API failed to handle this request.", kind=SERVER)


def too_late(timeout_ms: int, *, writes: bool) -> ApiError:
    doubt = " It is not known whether the write lasts: sent again it does no harm." if writes else ""
    return ApiError(504, "timeout", f"The shards did not answer within {timeout_ms} ms.{doubt}", kind=SERVER)
