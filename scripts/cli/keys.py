"""How `biplane gateway keys` looks. A secret is shown once, where no file takes it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.markup import escape

from control.api_keys import Issued, Known
from control.specs.api_key import ApiKey
from scripts.cli.show import age, emit, out, table

HASHES = {"sha256", "previous_sha256"}
EVERYTHING = "all"


def issued(one: Issued, done: str, file: Path | None, *, dry_run: bool, json: bool) -> None:
    """A key that was `done` (created, rotated), and its secret unless that is in a file."""
    if json:
        secret = {} if file or dry_run else {"key": one.secret}
        return emit({"dry_run": dry_run, **_facts(one.name, one.key), **secret})
    if dry_run:
        out.print(f"API key {one.name} would be {done}")
    elif file is not None:
        out.print(f"API key {one.name} {done}; its secret is in {escape(str(file))}")
    else:
        out.print(f"API key {one.name} {done} (its secret is shown once): {one.secret}")
    return None


def revoked(name: str, key: ApiKey, *, dry_run: bool, json: bool) -> None:
    if json:
        return emit({"dry_run": dry_run, **_facts(name, key)})
    out.print(f"API key {name} {'would be revoked' if dry_run else 'is revoked'}")
    return None


def listed(found: Iterable[Known], *, json: bool) -> None:
    if json:
        return emit({"keys": [{**_facts(one.name, one.key), "created_at": one.created_at} for one in found]})
    now = time.time()
    return table(
        ("KEY", "ORGANIZATION", "STANDING", "ROUTES", "MODELS", "PRIORITY", "LIMITS", "EXPIRES", "AGE"),
        (
            (
                one.name,
                one.key.organization,
                _standing(one.key, now),
                ", ".join(one.key.routes) or EVERYTHING,
                ", ".join(one.key.models) or EVERYTHING,
                one.key.priority,
                _limits(one.key) or "-",
                _date(one.key.expires_at),
                age(one.created_at),
            )
            for one in found
        ),
    )


def _facts(name: str, key: ApiKey) -> dict[str, Any]:
    return {"name": name, "standing": key.standing(time.time()), **key.model_dump(mode="json", exclude=HASHES)}


def _standing(key: ApiKey, now: float) -> str:
    two = key.previous_until is not None and now < key.previous_until and key.standing(now) == "valid"
    return f"{key.standing(now)}, the former secret until {_date(key.previous_until)}" if two else key.standing(now)


def _limits(key: ApiKey) -> str:
    limits = key.limits
    told = {
        "requests/min": limits.requests_per_minute,
        "tokens/min": limits.tokens_per_minute,
        "$/day": limits.cost_per_day,
    }
    return ", ".join(f"{most:g} {unit}" for unit, most in told.items() if most is not None)


def _date(at: float | None) -> str:
    return "never" if at is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
