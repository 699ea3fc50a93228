"""What gateway control knows: which models answer where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control.kernel.present import AppState
from control.specs.gateway import Gateway


@dataclass(frozen=True)
class Model:
    """A deployment as clients see it: who answers, who gets copies, and what a client sticks by (empty: nothing).

    `affinity` is what requests have in common that go to one replica. Where `wakes_s` is not 0 it may be asleep, and
    requests are held for so many seconds while it wakes. It answers under its adapters' names, too.
    """

    arms: tuple[Mapping[str, Any], ...] = ()
    shadows: tuple[Mapping[str, Any], ...] = ()
    sticky: str = ""
    affinity: str = ""
    wakes_s: float = 0.0
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One look. `models` by the name under which each is served.

    `gateways` are the documents that people wrote. `table` is the table as last published, None before the first; `app`
    how the gateway application is, `caches` whether the cache of answers runs, and `arguments` what each replica of the
    gateway is started with.
    """

    models: Mapping[str, Model]
    table: Mapping[str, Any] | None
    app: AppState
    arguments: Mapping[str, Any]
    gateways: tuple[Gateway, ...] = ()
    caches: bool = False
