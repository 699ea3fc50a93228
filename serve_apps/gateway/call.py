"""One request of a client's on its way, with all that is known of it. Holds no connection and stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from starlette.types import Scope

from control.price import FREE, Price, cost
from serve_apps.gateway.accounts.bank import Reservation
from serve_apps.gateway.accounts.bound import Bound
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.body import Request
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.keys import Key
from serve_apps.gateway.table import Route, Table
from serve_apps.gateway.taken import Taken

if TYPE_CHECKING:
    from opentelemetry.trace import Span


@dataclass(slots=True)
class Call:
    """`route` is None for a model that is served here. `request` may change on the way; `bound` holds for all that it
    becomes. `backend` is who answered, `price` what that costs, `attempts` what was tried or passed over before. A
    `hit` ("exact" or "semantic") is an answer of the cache, which `saved` so many nano-dollars. The client `asked` for
    a model by this name, in a body of `received` bytes. Where it has a `span`, backends get the headers `trace`.
    """

    request: Request
    scope: Scope
    answer: Answer
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
    span: Span | None = None
    trace: tuple[tuple[bytes, bytes], ...] = ()
    hit: str = ""
    saved: int = 0
    asked: str = field(init=False)
    received: int = field(init=False)

    def __post_init__(self) -> None:
        self.asked, self.received = self.request.model, len(self.request.raw)

    @property
    def answerer(self) -> str:
        """The backend, or the model where it is served here; empty where nobody was asked. It is never a name that only
        the client made up."""
        return self.backend or (self.request.model if self.request.model in self.table.models else "")

    def took(self) -> Usage:
        """The tokens that are accounted for it so far."""
        return self.taken.read(len(self.request.raw))

    def cost(self, took: Usage) -> int:
        """In nano-dollars."""
        return cost(self.price, took.prompt, took.cached, took.cache_written, took.completion)
