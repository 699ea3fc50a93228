"""Who is asking, and what with the key may be asked for. Pure."""

import hashlib
from collections.abc import Iterable, Mapping

from starlette.types import Scope

from serve_apps.gateway.errors import invalid_api_key, model_not_allowed, route_not_allowed
from serve_apps.gateway.keys import Key


def authenticate(scope: Scope, keys: Mapping[str, Key], now: float) -> Key:
    """The key the request carries as `Authorization: Bearer`, or as Anthropic's clients send it, as `x-api-key`.
    `keys` are by the hex SHA-256 of their secrets, `now` is in seconds since the epoch.

    Raises ApiError 401 where there is none, it is unknown, or it is not good any more, which only who has it is told.

    Only digests are compared. How long a look-up of a digest takes tells nothing of the key: whoever could
    choose digests with a wanted prefix would already have to invert sha256.
    """
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, secret = value.partition(b" ")
            if scheme.lower() != b"bearer" or not secret.strip():
                raise invalid_api_key("The Authorization header must be 'Bearer <api key>'.")
            return _good(secret.strip(), keys, now)
        if name == b"x-api-key":
            return _good(value.strip(), keys, now)
    raise invalid_api_key("An API key is required: send 'Authorization: Bearer <api key>'.")


def authorize(key: Key, model: str, route: str | None) -> None:
    """Raises ApiError 403 where `key` may not be used for a model by a route, or where `route` is None for one that is
    served here.
    """
    if not key.may_use(model, route):
        if route is None or not key.takes(model):
            raise model_not_allowed(key.name, model)
        raise route_not_allowed(key.name, route)


def usable(models: Iterable[str], key: Key) -> list[str]:
    """Those of the `models` that are served here for which `key` may be used."""
    return [name for name in sorted(models) if key.may_use(name, None)]


def _good(secret: bytes, keys: Mapping[str, Key], now: float) -> Key:
    key = keys.get(hashlib.sha256(secret).hexdigest())
    if key is None:
        raise invalid_api_key("The API key is not known.")
    if now >= key.ends_at:
        raise invalid_api_key(f"The API key {key.ending.value}.")
    return key
