"""The id of a request: its client's, or one made here. It goes on to the engine and is on the answer."""

import itertools
from secrets import token_hex

from starlette.types import Scope

REQUEST_ID = b"x-request-id"
_PROCESS = token_hex(10).encode()
_numbers = itertools.count(1)
"""A request's id is its process and its number there: a random one for each is a system call."""


def identify(scope: Scope) -> bytes:
    """The request's id, in its headers from now on if the client gave it none."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and value:
            return bytes(value)
    made = b"%b%012x" % (_PROCESS, next(_numbers))
    scope["headers"] = [*scope["headers"], (REQUEST_ID, made)]
    return made
