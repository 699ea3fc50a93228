"""The store's URL: what is accepted, what is refused and how, and a password that never comes to light."""

from __future__ import annotations

import pytest

from control.kernel.database import InvalidStoreUrl, connect, for_plane, shown

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgres://u@h/d", "there is no store 'postgres'; did you mean 'postgresql'?"),
        ("mysql://u@h/d", "there is no store 'mysql'; expected sqlite:////PATH or postgresql://"),
        ("postgresql+asyncpg://u@h/d", "there is no store 'postgresql+asyncpg'; did you mean 'postgresql"),
        ("somewhere", "the store's URL cannot be read; expected sqlite:////PATH or postgresql://"),
    ],
)
def test_what_is_no_store_is_refused_with_what_is(url: str, message: str) -> None:
    with pytest.raises(InvalidStoreUrl) as caught:
        connect(url)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}/d",  # the @ was forgotten: the password stands where the port does
        f"postgresql://u:x@{SECRET}@h/d",
        f"postgresql://u:x@h/d?password=@{SECRET}",
        f"mysql://u:{SECRET}@h/d",
    ],
)
def test_a_url_that_is_refused_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidStoreUrl) as caught:
        connect(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_url_is_shown_without_its_passwords() -> None:
    url = f"postgresql://u:{SECRET}@h:5432/d?sslmode=verify-full&password={SECRET}&sslpassword={SECRET}"
    assert shown(url) == "postgresql://u:***@h:5432/d?sslmode=verify-full"
    assert shown("sqlite:////var/b.db") == "sqlite:////var/b.db"
    assert SECRET not in repr(connect(f"postgresql://u:{SECRET}@h/d"))


def test_what_the_url_says_goes_before_what_biplane_sets() -> None:
    engine = connect("postgresql://u@h/d?connect_timeout=9&sslmode=verify-full&options=-c%20lock_timeout%3D1s")
    query = engine.url.query
    assert (query["connect_timeout"], query["sslmode"]) == ("9", "verify-full")
    assert str(query["options"]).endswith("-c lock_timeout=1s")  # the server takes the last
    assert query["keepalives_idle"] == "10"


def test_several_hosts_may_be_named() -> None:
    engine = connect("postgresql://u@/d?host=one:5432&host=two:5432")
    _, words = engine.dialect.create_connect_args(engine.url)
    assert (words["host"], words["port"], words["target_session_attrs"]) == ("one,two", "5432,5432", "read-write")


def test_a_password_by_reference_is_put_in_and_may_hold_any_character() -> None:
    url = for_plane("postgresql://u@h/d?sslmode=require", "a@b/c:d%")
    assert connect(url).url.password == "a@b/c:d%"
    assert for_plane(f"postgresql://u:{SECRET}@h/d", "other") == f"postgresql://u:{SECRET}@h/d"
    assert for_plane("sqlite:////var/b.db", "other") == "sqlite:////var/b.db"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///b.db", "sqlite:///:memory:", "sqlite://var/b.db"])
def test_a_plane_is_not_kept_where_its_other_processes_would_not_find_it(url: str) -> None:
    with pytest.raises(InvalidStoreUrl, match="needs an absolute path"):
        for_plane(url, None)
