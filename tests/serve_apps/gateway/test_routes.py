"""Which arm answers: turns, keys that stay, applications that are avoided for a while."""

from collections import Counter
from dataclasses import replace

import pytest
from starlette.types import Scope

from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.routes import QUARANTINE_SECONDS, Routes, sticky_key
from serve_apps.gateway.table import Arm, Key, Model, Shadow, Sticky, Table

OLD, NEW = Arm("1", 90, "http://old", "llm:1"), Arm("2", 10, "http://new", "llm:2")


def table_of(*arms: Arm, version: int = 1, shadows: tuple[Shadow, ...] = ()) -> Table:
    return Table(version, {"m": Model(arms, shadows=shadows)}, {"k": Key("admin")}, 1)


def picked(routes: Routes, table: Table, count: int, now: float = 0.0) -> Counter[str]:
    return Counter(routes.pick(table, "m", None, now).version for _ in range(count))


def test_traffic_is_split_by_weight_and_an_arm_without_weight_gets_none() -> None:
    table = table_of(OLD, Arm("0", 0, "http://none"), NEW)
    assert picked(Routes(), table, 1000) == {"1": 900, "2": 100}


def test_an_unknown_model_and_one_without_weight_are_refused() -> None:
    for name, arms, status in (("n", (OLD,), 404), ("m", (replace(OLD, weight=0),), 503), ("m", (), 503)):
        with pytest.raises(ApiError) as refused:
            Routes().pick(table_of(*arms), name, None, 0.0)
        assert (refused.value.status, refused.value.failure) == (status, None)


def test_turns_are_kept_over_renewals_where_the_arms_are_the_same() -> None:
    routes, found = Routes(), Counter[str]()
    for version in range(1000):  # a table a request, as bad as it can be
        shadows = (Shadow(NEW, version / 1000),)
        found += picked(routes, table_of(OLD, NEW, version=version, shadows=shadows), 1)
    assert found == {"1": 900, "2": 100}


def test_a_canary_step_shows_in_the_next_requests() -> None:
    routes = Routes()
    picked(routes, table_of(OLD, NEW), 505)
    assert picked(routes, table_of(replace(OLD, weight=1), replace(NEW, weight=1), version=2), 10) == {"1": 5, "2": 5}
    assert picked(routes, table_of(OLD, version=3), 10) == {"1": 10}


def test_what_cannot_be_reached_is_avoided_and_then_tried_by_one_request_at_a_time() -> None:
    routes, table = Routes(), table_of(replace(OLD, weight=10), NEW)
    picked(routes, table, 10)
    routes.unreached(NEW, now=100.0)
    assert picked(routes, table, 100, now=100.9) == {"1": 100}
    probed = 100.0 + QUARANTINE_SECONDS
    assert picked(routes, table, 100, now=probed) == {"1": 99, "2": 1}
    routes.unreached(NEW, now=probed + 0.4)
    assert picked(routes, table, 100, now=probed + 1.3) == {"1": 100}
    assert picked(routes, table, 100, now=probed + 1.4) == {"1": 99, "2": 1}
    routes.reached(NEW)
    assert picked(routes, table, 100, now=probed + 1.4) == {"1": 50, "2": 50}, "and nothing is made up for"


def test_where_nothing_can_be_reached_everything_is_tried() -> None:
    routes, table = Routes(), table_of(OLD, NEW)
    routes.unreached(OLD, 0.0)
    routes.unreached(NEW, 0.0)
    assert picked(routes, table, 100) == {"1": 90, "2": 10}


def test_the_second_try_goes_to_another_arm_if_there_is_one() -> None:
    routes, third = Routes(), Arm("3", 10, "http://third")
    table = table_of(OLD, NEW, third, Arm("0", 0, "http://none"))
    routes.pick(table, "m", None, 0.0)
    routes.unreached(NEW, 0.0)
    for key in (None, "ann", "bob"):
        assert routes.other("m", key, 0.0, failed=OLD) == third
    assert routes.other("gone", None, 0.0, failed=OLD) is None
    alone = table_of(OLD, version=2)
    routes.pick(alone, "m", None, 0.0)
    assert routes.other("m", None, 0.0, failed=OLD) is None
    assert not routes.alternatives("m")


def test_a_key_whose_arm_is_avoided_comes_back_to_it_and_the_others_stay() -> None:
    routes, table = Routes(), table_of(replace(OLD, weight=1), replace(NEW, weight=1), Arm("3", 1, "http://3"))
    before = {key: routes.pick(table, "m", key, 0.0) for key in map(str, range(300))}
    assert len(set(before.values())) == 3
    routes.unreached(before["0"], 0.0)
    meanwhile = {key: routes.pick(table, "m", key, 0.5) for key in before}
    assert before["0"] not in meanwhile.values()
    assert all(meanwhile[key] == arm for key, arm in before.items() if arm != before["0"])
    routes.reached(before["0"])
    assert {key: routes.pick(table, "m", key, 0.5) for key in before} == before


def test_two_arms_of_one_version_have_keys_of_their_own() -> None:
    table = table_of(Arm("1", 1, "http://a"), Arm("1", 1, "http://b"))
    urls = Counter(Routes().pick(table, "m", str(key), 0.0).url for key in range(1000))
    assert all(400 < count < 600 for count in urls.values())
    assert len(urls) == 2


def test_shadows_get_exactly_their_share() -> None:
    routes, table = Routes(), table_of(OLD, shadows=(Shadow(NEW, 0.1), Shadow(OLD, 1.0), Shadow(NEW, 0.0)))
    routes.pick(table, "m", None, 0.0)
    sent = [Counter(arm.version for arm in routes.mirrors("m")) for _ in range(1000)]
    assert sum(sent, Counter()) == {"2": 100, "1": 1000}
    assert all(sum((one for one in sent[i : i + 10]), Counter())["2"] == 1 for i in range(0, 1000, 10))
    assert routes.mirrors("unknown") == []


def test_shadows_keep_their_turns_over_renewals_where_they_are_the_same() -> None:
    routes, sent = Routes(), 0
    for version in range(1000):
        weight = 1 + version / 1000  # of the only arm, so that nothing changes but the table
        routes.pick(table_of(replace(OLD, weight=weight), version=version, shadows=(Shadow(NEW, 0.1),)), "m", None, 0.0)
        sent += len(routes.mirrors("m"))
    assert sent == 100


@pytest.mark.parametrize(
    ("sticky", "user", "session", "key"),
    [
        (Sticky.NOBODY, "ann", b"s", None),
        (Sticky.USER, "ann", b"s", "ann"),
        (Sticky.USER, "", b"s", None),
        (Sticky.SESSION, "ann", b"s", "s"),
        (Sticky.SESSION, "ann", None, "ann"),
        (Sticky.SESSION, "", None, None),
    ],
)
def test_who_asks_is_the_user_or_the_session(sticky: Sticky, user: str, session: bytes | None, key: str | None) -> None:
    headers = [(b"host", b"x"), *([(b"x-session-id", session)] if session else [])]
    scope: Scope = {"type": "http", "headers": headers}
    assert sticky_key(sticky, user, scope) == key


def test_a_key_that_no_encoding_takes_has_an_arm() -> None:
    assert Routes().pick(table_of(OLD, NEW), "m", "\ud800", 0.0) in (OLD, NEW)
