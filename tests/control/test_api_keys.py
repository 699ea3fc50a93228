"""Keys as people hand them out: told once, replaced with or without a grace, revoked for good."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from control.api_keys import create, known_keys, revoke, rotate
from control.client import Client, NotFound
from control.kernel.home import Home
from control.kernel.plan import PutSpec, Record
from control.keys import ensure_api_key
from control.preflight import Refused
from control.specs.api_key import ApiKey, Grant
from tests.fakes.home import started

NOW = 1000.0
WHY = "asked for"


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """A plane with the key that `biplane up` makes."""
    plane = started(tmp_path)
    ensure_api_key(Home(tmp_path), plane.store, now=1.0)
    return Client(Home(tmp_path), who="ada", clock=lambda: NOW)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def stored(client: Client, name: str) -> ApiKey:
    return {one.name: one.key for one in known_keys(client)}[name]


def last_event(client: Client, name: str) -> tuple[str, str, str]:
    event = client.events("ApiKey", name)[-1]
    return event.event, event.who, event.reason


def test_a_key_is_stored_as_its_hash_with_what_it_may_do(client: Client) -> None:
    grant = Grant(organization="lab", expires_at=NOW + 5, priority="low")
    made = create(client, "alice", grant, now=NOW)
    assert stored(client, "alice") == ApiKey(sha256=digest(made.secret), **dict(grant)) == made.key
    assert made.secret.startswith("bp-")
    assert last_event(client, "alice") == ("Created", "ada", "for organization lab")
    for file in client.home.path.glob("biplane.db*"):
        assert made.secret.encode() not in file.read_bytes()


def test_a_secret_goes_to_a_file_that_its_owner_alone_can_read(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "alice.key"
    made = create(client, "alice", Grant(), now=NOW, file=file)
    assert file.read_text() == made.secret + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_name_that_is_taken_is_refused_and_nothing_is_written(client: Client, tmp_path: Path) -> None:
    made = create(client, "alice", Grant(), now=NOW)
    with pytest.raises(Refused, match="there is an API key 'alice' already"):
        create(client, "alice", Grant(organization="lab"), now=NOW, file=tmp_path / "file")
    assert stored(client, "alice") == made.key
    assert not (tmp_path / "file").exists()


def test_of_two_who_take_a_name_at_once_only_one_is_told_that_it_has_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = client.commit
    theirs = ApiKey(sha256="ab" * 32).model_dump(mode="json")

    def late(*records: Record) -> None:
        commit(PutSpec(kind="ApiKey", name="alice", event="Created", reason="", spec=theirs))
        commit(*records)

    monkeypatch.setattr(client, "commit", late)
    with pytest.raises(Refused, match="there is an API key 'alice' already"):
        create(client, "alice", Grant(), now=NOW)
    assert stored(client, "alice").sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("grant", "message"),
    [
        (Grant(models=("tiny",), routes=("chat",)), "no route 'chat'.*\n.*no model 'tiny'"),
        (Grant(expires_at=NOW), "would expire before it is made"),
    ],
)
def test_a_key_that_could_do_nothing_is_refused(client: Client, grant: Grant, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(client, "alice", grant, now=NOW)
    assert [one.name for one in known_keys(client)] == ["admin"]


def test_a_key_that_is_rotated_has_only_its_new_secret(client: Client) -> None:
    create(client, "alice", Grant(organization="lab"), now=NOW)
    made = rotate(client, "alice", now=NOW, reason="it was in a log")
    assert stored(client, "alice") == ApiKey(sha256=digest(made.secret), organization="lab")
    assert last_event(client, "alice")[2] == "it was in a log; the former secret is refused from now on"


def test_with_a_grace_the_former_secret_is_good_for_so_long_and_one_before_it_not_any_more(client: Client) -> None:
    create(client, "alice", Grant(), now=NOW)
    second = rotate(client, "alice", now=NOW, reason=WHY, grace_s=3600.0)
    third = rotate(client, "alice", now=NOW + 1, reason=WHY, grace_s=60.0)
    key = stored(client, "alice")
    assert (key.sha256, key.previous_sha256) == (digest(third.secret), digest(second.secret))
    assert key.previous_until == NOW + 61
    assert last_event(client, "alice")[2] == "asked for; the former secret is good for 60s more"


def test_the_file_of_the_first_key_has_its_newest_secret(client: Client) -> None:
    made = rotate(client, "admin", now=NOW, reason=WHY)
    assert client.home.api_key_file.read_text() == made.secret + "\n"
    create(client, "alice", Grant(), now=NOW)
    rotate(client, "alice", now=NOW, reason=WHY)
    assert client.home.api_key_file.read_text() == made.secret + "\n"


def test_a_key_that_is_revoked_stays_as_it_was_and_is_good_for_nothing(client: Client) -> None:
    create(client, "alice", Grant(organization="lab"), now=NOW)
    revoke(client, "alice", now=NOW, reason="she left")
    assert (stored(client, "alice").organization, stored(client, "alice").revoked_at) == ("lab", NOW)
    assert last_event(client, "alice") == ("Revoked", "ada", "she left")
    revoke(client, "alice", now=NOW + 5, reason="again")
    assert stored(client, "alice").revoked_at == NOW
    assert last_event(client, "alice")[2] == "she left"
    with pytest.raises(Refused, match="'alice' is revoked; make another"):
        rotate(client, "alice", now=NOW, reason=WHY)


def test_a_key_that_has_expired_is_not_rotated(client: Client) -> None:
    create(client, "alice", Grant(expires_at=NOW + 1), now=NOW)
    with pytest.raises(Refused, match="'alice' is expired"):
        rotate(client, "alice", now=NOW + 1, reason=WHY)


def test_the_last_key_that_is_good_is_revoked_only_where_that_is_meant(client: Client) -> None:
    create(client, "brief", Grant(expires_at=NOW + 1), now=NOW)
    with pytest.raises(Refused, match="'admin' is the last API key that is good"):
        revoke(client, "admin", now=NOW + 1, reason=WHY)
    assert stored(client, "admin").revoked_at is None
    revoke(client, "admin", now=NOW + 1, reason=WHY, force=True)
    assert stored(client, "admin").revoked_at == NOW + 1
    assert ensure_api_key(client.home, client.store, now=NOW + 2) is None, "the next `up` gives no key back"


def test_a_revocation_is_not_lost_to_a_rotation_at_the_same_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(client, "alice", Grant(), now=NOW)
    commit = client.commit

    def late(*records: Record) -> None:
        monkeypatch.setattr(client, "commit", commit)
        rotate(client, "alice", now=NOW, reason=WHY)
        commit(*records)

    monkeypatch.setattr(client, "commit", late)
    revoke(client, "alice", now=NOW, reason=WHY)
    assert stored(client, "alice").revoked_at == NOW
    assert [event.event for event in client.events("ApiKey", "alice")] == ["Created", "Rotated", "Revoked"]


@pytest.mark.parametrize(
    "act",
    [
        lambda client, file: create(client, "bob", Grant(), now=NOW, file=file, dry_run=True),
        lambda client, file: rotate(client, "alice", now=NOW, reason=WHY, file=file, dry_run=True),
        lambda client, _: revoke(client, "alice", now=NOW, reason=WHY, dry_run=True),
    ],
)
def test_a_dry_run_writes_nothing(client: Client, tmp_path: Path, act: Callable[[Client, Path], object]) -> None:
    create(client, "alice", Grant(), now=NOW)
    before = client.store.revision()
    act(client, tmp_path / "file")
    assert client.store.revision() == before
    assert not (tmp_path / "file").exists()


def test_a_key_that_is_not_there_is_told_with_the_nearest(client: Client) -> None:
    with pytest.raises(NotFound, match="did you mean 'admin'"):
        revoke(client, "admim", now=NOW, reason=WHY)


def test_what_another_biplane_wrote_and_this_one_cannot_read_can_be_deleted(client: Client) -> None:
    client.commit(PutSpec(kind="ApiKey", name="odd", event="Created", reason="", spec={"sha256": "?"}))
    with pytest.raises(Refused, match="biplane delete apikey/odd"):
        known_keys(client)
    client.delete("ApiKey", "odd")
    assert [one.name for one in known_keys(client)] == ["admin"]


def test_a_key_is_forgotten_only_when_it_is_good_no_more(client: Client) -> None:
    create(client, "alice", Grant(), now=NOW)
    with pytest.raises(Refused, match="alice is still good; first: biplane gateway keys revoke alice"):
        client.delete("ApiKey", "alice", drain=True)
    revoke(client, "alice", now=NOW, reason=WHY)
    client.delete("ApiKey", "alice")
    assert [one.name for one in known_keys(client)] == ["admin"]
