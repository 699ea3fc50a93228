"""Which arm answers: turns, keys that stay, applications that are avoided for a while."""

from collections import Counter
from dataclasses import replace

import pytest
from starlette.types import Scope

from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.hashing import draw
from serve_apps.gateway.replicas import Server
from serve_apps.gateway.routes import QUARANTINE_SECONDS, Routes, sticky_key
from serve_apps.gateway.table import Arm, Model, Replica, Shadow, Sticky, Table


def arm(version: str, weight: float, *replicas: str) -> Arm:
    return Arm(version, weight, tuple(Replica(f"llm:{name}", f"http://{name}") for name in replicas or (version,)))


OLD, NEW = arm("1", 90), arm("2", 10)


def table_of(*arms: Arm, version: int = 1, shadows: tuple[Shadow, ...] = ()) -> Table:
    return Table(version, {"m": Model(arms, shadows=shadows)}, 1)


def picked(routes: Routes, table: Table, count: int, now: float = 0.0) -> Counter[str]:
    return Counter(routes.pick(table, "m", None, now).slot.arm.version for _ in range(count))


def servers(routes: Routes, table: Table) -> dict[str, Server]:
    """Those of the table's replicas, by their names, found out by asking often enough."""
    found = (routes.pick(table, "m", None, 0.0).server for _ in range(200))
    return {server.replica.app.removeprefix("llm:"): server for server in found}


def test_traffic_is_split_by_weight_and_an_arm_without_weight_gets_none() -> None:
    table = table_of(OLD, arm("0", 0), NEW)
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
    new = servers(routes, table)["2"]
    routes.unreached(new, now=100.0)
    assert picked(routes, table, 100, now=100.9) == {"1": 100}
    probed = 100.0 + QUARANTINE_SECONDS
    assert picked(routes, table, 100, now=probed) == {"1": 99, "2": 1}
    routes.unreached(new, now=probed + 0.4)
    assert picked(routes, table, 100, now=probed + 1.3) == {"1": 100}
    assert picked(routes, table, 100, now=probed + 1.4) == {"1": 99, "2": 1}
    routes.reached(new)
    assert picked(routes, table, 100, now=probed + 1.4) == {"1": 50, "2": 50}, "and nothing is made up for"


def test_one_that_accepts_connections_has_its_share_again_unless_what_it_accepts_keeps_breaking_off() -> None:
    routes, table = Routes(), table_of(replace(OLD, weight=10), NEW)
    new = servers(routes, table)["2"]
    routes.broke(new, now=100.0)
    assert picked(routes, table, 100, now=100.1) == {"1": 100}
    routes.connected(new)
    assert picked(routes, table, 100, now=100.1) == {"1": 50, "2": 50}
    for now in (100.2, 102.0, 104.0):
        routes.broke(new, now)
        routes.connected(new)
        assert picked(routes, table, 100, now=now + 0.9 * QUARANTINE_SECONDS) == {"1": 100}
        assert picked(routes, table, 100, now=now + QUARANTINE_SECONDS) == {"1": 99, "2": 1}
    routes.reached(new)
    routes.broke(new, now=106.0)
    routes.connected(new)
    assert picked(routes, table, 100, now=106.0) == {"1": 50, "2": 50}, "an answer makes up for all"


def test_where_nothing_can_be_reached_everything_is_tried() -> None:
    routes, table = Routes(), table_of(OLD, NEW)
    for server in servers(routes, table).values():
        routes.unreached(server, 0.0)
    assert picked(routes, table, 100) == {"1": 90, "2": 10}


def test_the_next_try_goes_to_the_same_arm_then_to_another_and_last_to_what_cannot_be_reached() -> None:
    routes = Routes()
    table = table_of(arm("1", 1, "a", "b", "c"), arm("2", 1, "d", "e"), arm("0", 0, "none"))
    all_of = servers(routes, table)
    routes.unreached(all_of["c"], 0.0)
    routes.unreached(all_of["d"], 0.0)
    for key in (None, "ann", "bob"):
        target = next(t for t in iter(lambda: routes.pick(table, "m", None, 0.5), None) if t.slot.arm.version == "1")
        tried: list[Server] = []
        while target is not None:
            tried.append(target.server)
            target = routes.again("m", key, 0.5, None, target.slot, tried)  # type: ignore[assignment]
        names = [server.replica.app.removeprefix("llm:") for server in tried]
        assert (set(names[:2]), names[2], set(names[3:])) == ({"a", "b"}, "e", {"c", "d"})
    assert routes.again("gone", None, 0.0, None, routes.pick(table, "m", None, 0.0).slot, []) is None
    assert (routes.servers("m"), routes.servers("gone")) == (5, 0)


def test_a_key_whose_arm_is_avoided_comes_back_to_it_and_the_others_stay() -> None:
    routes, table = Routes(), table_of(replace(OLD, weight=1), replace(NEW, weight=1), arm("3", 1))
    before = {key: routes.pick(table, "m", key, 0.0).server for key in map(str, range(300))}
    assert len(set(before.values())) == 3
    routes.unreached(before["0"], 0.0)
    meanwhile = {key: routes.pick(table, "m", key, 0.5).server for key in before}
    assert before["0"] not in meanwhile.values()
    assert all(meanwhile[key] is server for key, server in before.items() if server is not before["0"])
    routes.reached(before["0"])
    assert {key: routes.pick(table, "m", key, 0.5).server for key in before} == before


def test_two_arms_of_one_version_have_keys_of_their_own() -> None:
    table = table_of(arm("1", 1, "a"), arm("1", 1, "b"))
    apps = Counter(Routes().pick(table, "m", str(key), 0.0).server.replica.app for key in range(1000))
    assert all(400 < count < 600 for count in apps.values())
    assert len(apps) == 2


def test_of_an_arms_replicas_that_have_equally_much_to_do_each_has_its_turn_and_less_to_do_goes_first() -> None:
    routes, table = Routes(), table_of(arm("1", 1, "a", "b", "c"))
    turns = [routes.pick(table, "m", None, 0.0).server.replica.app for _ in range(6)]
    assert turns[:3] == turns[3:]
    assert len(set(turns)) == 3
    for server in servers(routes, table).values():
        server.in_flight = 3
    servers(routes, table)["b"].in_flight = 1
    assert picked_servers(routes, table, 9) == {"llm:b": 9}


def picked_servers(routes: Routes, table: Table, count: int) -> Counter[str]:
    return Counter(routes.pick(table, "m", None, 0.0).server.replica.app for _ in range(count))


def test_an_arms_share_is_exact_whatever_dies_inside_it() -> None:
    routes, table = Routes(), table_of(arm("1", 90, "a", "b", "c"), arm("2", 10, "d", "e"))
    found = servers(routes, table)
    for name in ("a", "c", "d"):
        routes.unreached(found[name], 0.0)
    assert picked(routes, table, 1000, now=0.5) == {"1": 900, "2": 100}
    assert picked_servers(routes, table, 100) == {"llm:b": 90, "llm:e": 10}


def test_scaling_an_arm_leaves_the_turns_as_they_are() -> None:
    routes, found = Routes(), Counter[str]()
    for version in range(1000):  # a replica more or less at each request, as bad as it can be
        replicas = [f"r{number}" for number in range(1 + version % 5)]
        found += picked(routes, table_of(arm("1", 90, *replicas), NEW, version=version), 1)
    assert found == {"1": 900, "2": 100}


def test_an_arm_without_replicas_gets_nothing_and_a_model_with_no_other_is_unavailable() -> None:
    empty = replace(OLD, replicas=())
    assert picked(Routes(), table_of(empty, NEW), 10) == {"2": 10}
    with pytest.raises(ApiError) as refused:
        Routes().pick(table_of(empty), "m", None, 0.0)
    assert refused.value.status == 503


@pytest.mark.parametrize("by_prefix", [False, True])
def test_a_key_or_a_beginning_stays_with_a_replica_unless_that_has_clearly_more_to_do(by_prefix: bool) -> None:
    routes, table = Routes(), table_of(arm("1", 1, "a", "b", "c", "d"))

    def server_of(number: int) -> Server:
        key, near = (None, draw(str(number))) if by_prefix else (str(number), None)
        return routes.pick(table, "m", key, 0.0, near).server

    homes = {number: server_of(number) for number in range(400)}
    assert all(60 < count < 140 for count in Counter(homes.values()).values())
    assert all(server_of(number) is home for number, home in homes.items())
    crowded = homes[0]
    crowded.in_flight = 2  # of a mean of 0.5: more than 1.25 * 0.5 + 1
    moved = {number: server_of(number) for number in homes}
    assert crowded not in moved.values()
    assert all(moved[number] is home for number, home in homes.items() if home is not crowded)
    assert len({moved[number] for number, home in homes.items() if home is crowded}) == 3, "spread, not piled up"
    crowded.in_flight = 1
    assert all(server_of(number) is home for number, home in homes.items())


def test_a_beginning_chooses_the_replica_and_leaves_the_arms_their_shares() -> None:
    routes, table, near = Routes(), table_of(arm("1", 90, "a", "b"), arm("2", 10, "d", "e")), draw("Be brief.")
    found = Counter(routes.pick(table, "m", None, 0.0, near).server.replica.app for _ in range(1000))
    assert sorted(found.values()) == [100, 900]


def test_one_replica_under_two_names_has_one_load_and_one_health() -> None:
    shared = Model((arm("1", 1, "a", "b"),))
    table = Table(1, {"m": shared, "polite": shared}, 1)
    routes = Routes()
    servers(routes, table)["a"].in_flight = 5
    assert {routes.pick(table, "polite", None, 0.0).server.replica.app for _ in range(9)} == {"llm:b"}


def test_shadows_get_exactly_their_share() -> None:
    routes, table = Routes(), table_of(OLD, shadows=(Shadow(NEW, 0.1), Shadow(OLD, 1.0), Shadow(NEW, 0.0)))
    routes.pick(table, "m", None, 0.0)
    sent = [Counter(target.slot.arm.version for target in routes.mirrors("m", 0.0)) for _ in range(1000)]
    assert sum(sent, Counter()) == {"2": 100, "1": 1000}
    assert all(sum((one for one in sent[i : i + 10]), Counter())["2"] == 1 for i in range(0, 1000, 10))
    assert routes.mirrors("unknown", 0.0) == []


def test_shadows_keep_their_turns_over_renewals_where_they_are_the_same() -> None:
    routes, sent = Routes(), 0
    for version in range(1000):
        weight = 1 + version / 1000  # of the only arm, so that nothing changes but the table
        routes.pick(table_of(replace(OLD, weight=weight), version=version, shadows=(Shadow(NEW, 0.1),)), "m", None, 0.0)
        sent += len(routes.mirrors("m", 0.0))
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
    assert Routes().pick(table_of(OLD, NEW), "m", "\ud800", 0.0).slot.arm in (OLD, NEW)
