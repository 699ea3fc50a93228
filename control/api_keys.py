"""The way in for who hands out API keys: create, rotate, revoke and list them.

Of a key its hash is stored. The secret is in the answer, and in a file where it is wanted there: written before the
hash is stored, so a crash in between leaves a secret that opens nothing, never a key whose secret nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from control.client import Client
from control.gateway.scopes import Scopes, unknown_scopes
from control.gateway.view import gateways_of, models_of
from control.kernel.home import write_atomically
from control.kernel.ids import API_KEY_KIND
from control.kernel.plan import Create, PutSpec
from control.kernel.store import Conflict, Object
from control.keys import ADMIN, new_api_key
from control.preflight import Refused
from control.specs.api_key import ApiKey, Grant
from control.specs.quantity import show_seconds


@dataclass(frozen=True)
class Known:
    """A key as stored; `created_at` in seconds since the epoch."""

    name: str
    created_at: float
    key: ApiKey


@dataclass(frozen=True)
class Issued:
    """A key with its secret, which nobody is told again."""

    name: str
    key: ApiKey
    secret: str


def known_keys(client: Client) -> tuple[Known, ...]:
    """Oldest first, revoked ones too. Raises NoPlane."""
    return tuple(Known(o.name, o.created_at, _read(o)) for o in client.get(API_KEY_KIND))


def create(
    client: Client, name: str, grant: Grant, *, now: float, file: Path | None = None, dry_run: bool = False
) -> Issued:
    """A new key; its secret is written to `file`, too, where there is one. `now` in seconds since the epoch.

    Raises ValueError for a scope that is not there and for a time that is over, Refused for a name that is taken.
    """
    stored = client.store.list("Deployment", "Gateway", "Collection", API_KEY_KIND)
    collections = [o.name for o in stored if o.kind == "Collection"]
    if wrong := unknown_scopes(grant, Scopes.of(models_of(stored), gateways_of(stored), collections)):
        raise ValueError("\n".join(wrong))
    if grant.expires_at is not None and grant.expires_at <= now:
        raise ValueError("the key would expire before it is made; expected a later time")
    secret, digest = new_api_key()
    key = ApiKey(sha256=digest, **dict(grant))
    taken = [o.name for o in stored if o.kind == API_KEY_KIND]
    if name not in taken and not dry_run:
        _write(secret, file)
        spec, reason = key.model_dump(mode="json"), f"for organization {grant.organization}"
        client.commit(Create(kind=API_KEY_KIND, name=name, event="Created", reason=reason, spec=spec))
        taken = [o.name for o in client.get(API_KEY_KIND, name) if o.spec["sha256"] != digest]  # another was faster
    if name in taken:
        raise Refused(
            f"there is an API key {name!r} already; take another name, or: biplane gateway keys rotate {name}"
        )
    return Issued(name, key, secret)


def rotate(
    client: Client,
    name: str,
    *,
    now: float,
    reason: str,
    grace_s: float = 0.0,
    file: Path | None = None,
    dry_run: bool = False,
) -> Issued:
    """Another secret for the key. The former one is good for `grace_s` seconds more, one before that no longer.

    The file in which `biplane up` left the first key is kept up to date. Raises NotFound, and Refused for a key that is
    not good any more.
    """
    secret, digest = new_api_key()

    def replaced(key: ApiKey) -> ApiKey:
        if (standing := key.standing(now)) != "valid":
            raise Refused(f"the API key {name!r} is {standing}; make another: biplane gateway keys create NAME")
        previous, until = (key.sha256, now + grace_s) if grace_s else (None, None)
        return key.model_copy(update={"sha256": digest, "previous_sha256": previous, "previous_until": until})

    (found,) = client.get(API_KEY_KIND, name)
    key = replaced(_read(found))
    if not dry_run:
        for one in {file, client.home.api_key_file if name == ADMIN else None}:
            _write(secret, one)
        end = f"is good for {show_seconds(grace_s)} more" if grace_s else "is refused from now on"
        key = _change(client, name, replaced, "Rotated", f"{reason}; the former secret {end}")
    return Issued(name, key, secret)


def revoke(client: Client, name: str, *, now: float, reason: str, force: bool = False, dry_run: bool = False) -> ApiKey:
    """The key is refused from now on; what it was stays in the store. One that was revoked before stays as it is.

    Raises NotFound, and Refused for the last key that is good, unless that is meant.
    """

    def revoked(key: ApiKey) -> ApiKey:
        return key if key.revoked_at is not None else key.model_copy(update={"revoked_at": now})

    (found,) = client.get(API_KEY_KIND, name)
    good = [one.name for one in known_keys(client) if one.key.standing(now) == "valid"]
    if good == [name] and not force:
        raise Refused(f"{name!r} is the last API key that is good: nobody could call any more; --force revokes it")
    return revoked(_read(found)) if dry_run else _change(client, name, revoked, "Revoked", reason)


def _change(client: Client, name: str, change: Callable[[ApiKey], ApiKey], event: str, reason: str) -> ApiKey:
    while True:
        (found,) = client.get(API_KEY_KIND, name)
        key = change(_read(found))
        spec = key.model_dump(mode="json")
        record = PutSpec(kind=API_KEY_KIND, name=name, event=event, reason=reason, spec=spec, revision=found.revision)
        try:
            client.commit(record)
        except Conflict:
            continue  # somebody else was faster: change what the key is now
        return key


def _read(stored: Object) -> ApiKey:
    try:
        return ApiKey.model_validate(stored.spec)
    except ValidationError as error:
        raise Refused(
            f"the API key {stored.name!r} was stored in a form that this Biplane does not read: no gateway takes it; "
            f"forget it with: biplane delete apikey/{stored.name}"
        ) from error


def _write(secret: str, file: Path | None) -> None:
    if file is not None:
        write_atomically(file, secret + "\n", mode=0o600)
