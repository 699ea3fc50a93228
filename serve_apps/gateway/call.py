"""One request of a client's on its way, with all that is known of it. Holds no connection and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from starlette.types import Scope

from control.price import FREE, Price, cost
from serve_apps.gateway.accounts.bank import Reservation
from serve_apps.gateway.accounts.bound import Bound
from serve_apps.gateway.answer import Answer, Sink
from serve_apps.gateway.body import Request
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.keys import Key
from serve_apps.gateway.table import Route, Table
from serve_apps.gateway.taken import Taken
from serve_apps.gateway.wire import Headers

if TYPE_CHECKING:
    from opentelemetry.trace import Span


@dataclass(slots=True)
class Call:
    """`asked` is what the client sent, `client` the answer that it gets. `request` and `answer` are what becomes of
    these on the way, `bound` the most that it may take. `route` is None for a model that is served here. `backend` is
    who answered, `price` what that costs, `attempts` what was tried or passed over before. `to_backend` changes the
    headers of what is sent; where it has a `span`, they have the `trace`, too. A `hit` is exact or semantic, and
    `saved` so many nano-dollars; it is empty for what was not found in the cache. Backends in `barred` are not asked,
    for the reasons given. What `continued` a stream that broke off is charged by itself.
    """

    asked: Request
    request: Request
    scope: Scope
    client: Answer
    answer: Sink
    table: Table
    key: Key
    route: Route | None
    bound: Bound
    taken: Taken = field(default_factory=Taken)
    began: float = field(default_factory=monotonic)
    backend: str = ""
    price: Price = FREE
    attempts: list[str] = field(default_factory=list)
    reserved: Reservation | None = None
    to_backend: Callable[[Iterable[tuple[bytes, bytes]]], Headers] | None = None
    span: Span | None = None
    trace: tuple[tuple[bytes, bytes], ...] = ()
    hit: str = ""
    saved: int = 0
    barred: Mapping[str, str] = field(default_factory=dict)
    continued: list[Call] = field(default_factory=list)

    @property
    def answerer(self) -> str:
        """The backend, or the model where it is served here; empty where nobody was asked. It is never a name that only
        the client made up.
        """
        return self.backend or (self.asked.model if self.asked.model in self.table.models else "")

    def took(self) -> Usage:
        """The tokens that are accounted for it so far."""
        return self.taken.read(len(self.request.raw))

    def cost(self, took: Usage) -> int:
        """In nano-dollars."""
        return cost(self.price, took.prompt, took.cached, took.cache_written, took.completion)
