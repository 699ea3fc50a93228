"""Who is asking. Pure."""

import hashlib

from starlette.types import Scope

from serve_apps.gateway.errors import invalid_api_key
from serve_apps.gateway.table import Key, Table


def authenticate(scope: Scope, table: Table) -> Key:
    """The key the request carries as `Authorization: Bearer`, or as Anthropic's clients send it, as `x-api-key`.
    Raises ApiError 401 where there is none or it is unknown.

    Only digests are compared. How long a look-up of a digest takes tells nothing of the key: whoever could
    choose digests with a wanted prefix would already have to invert sha256.
    """
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, secret = value.partition(b" ")
            if scheme.lower() != b"bearer" or not secret.strip():
                raise invalid_api_key("The Authorization header must be 'Bearer <api key>'.")
            return _known(secret.strip(), table)
        if name == b"x-api-key":
            return _known(value.strip(), table)
    raise invalid_api_key("An API key is required: send 'Authorization: Bearer <api key>'.")


def _known(secret: bytes, table: Table) -> Key:
    key = table.keys.get(hashlib.sha256(secret).hexdigest())
    if key is None:
        raise invalid_api_key("The API key is not known.")
    return key
