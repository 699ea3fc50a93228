"""What a filter is: a class that changes or refuses a route's requests and answers. Pure, and so should filters be.

A filter is made once in each gateway replica and serves many requests at once: what it keeps of one, it keeps in the
context's `memory`. It must not wait or do I/O: all requests of the replica would wait with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

Json = dict[str, Any]
Place = tuple[tuple[str, str], ...]
"""Where a secret is, as in a backend of the table: {"env": NAME} or {"file": PATH}, as items."""
SecretOf = Callable[[Place], str]
"""A secret by its place. Raises Unusable where it cannot be had."""


class Rejected(Exception):
    """The request or answer is refused: the client gets `message` and `code` as an error 400 of its own API."""

    def __init__(self, message: str, code: str = "content_policy_violation") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Unusable(Exception):
    """The filter cannot do its work, and its route answers nothing meanwhile. The words hold no secret."""


class Part(Enum):
    """What a piece of an answer is."""

    TEXT = "what the model says"
    THOUGHT = "what the model thinks before"
    ARGUMENTS = "the arguments of a call, as JSON"


@dataclass(frozen=True)
class Context:
    """Whose request it is: the name of its `key`, its `organization` (empty for none), the `route` that it takes, the
    `model` that it asks for. `memory` is for what a filter keeps of the request for its answer, under itself.
    """

    key: str
    organization: str
    route: str
    model: str
    request_id: str
    memory: dict[Any, Any] = field(default_factory=dict)


class TextFilter(Protocol):
    """One text of an answer on its way. `feed` gets its next piece, which may be cut anywhere, and returns what can be
    passed on; `finish` returns the rest. Both may raise Rejected.
    """

    def feed(self, text: str) -> str: ...

    def finish(self) -> str: ...


class Filter:
    """Does nothing. Override what you need."""

    def request(self, document: Json, context: Context) -> Json:
        """The request in the form of a chat, or as a completion or embeddings. Returns it or a changed copy, and never
        changes it in place. May raise Rejected.
        """
        return document

    def answer(self, part: Part, context: Context) -> TextFilter | None:
        """A new TextFilter for one text of the answer; None where this part of it is not looked at. The route's streams
        pass untouched while no filter of it looks at any.
        """
        return None

    def to_backend(self, headers: dict[str, str], context: Context) -> dict[str, str]:
        """The headers for the backend, names in lower case, but those of connection and key. May raise Unusable."""
        return headers

    def to_client(self, headers: dict[str, str], context: Context) -> dict[str, str]:
        """The headers of the answer, names in lower case, but those of the connection."""
        return headers
