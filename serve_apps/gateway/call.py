"""One request of a client's on its way, with all that is known of it. Holds no connection and stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from starlette.types import Scope

from control.price import FREE, Price
from serve_apps.gateway.accounts.bank import Reservation
from serve_apps.gateway.accounts.bound import Bound
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.body import Request
from serve_apps.gateway.keys import Key
from serve_apps.gateway.table import Route, Table
from serve_apps.gateway.taken import Taken


@dataclass(slots=True)
class Call:
    """`route` is None for a model that is served here. `request` may change on the way; `bound` holds for all that it
    becomes. `backend` is who answered, `price` what that costs, `attempts` what was tried or passed over before.
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
