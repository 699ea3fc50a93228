"""What holds for the choice of a replica whatever dies, drains, comes back or is scaled, in whichever order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.gateway.endpoints import Endpoint
from serve_apps.gateway.replicas import Server, Visit
from serve_apps.gateway.routes import QUARANTINE_SECONDS, Routes, Target
from serve_apps.gateway.table import Arm, Model, Replica, Table

HEALTH = [Endpoint("", True, False), Endpoint("", False, False), Endpoint("", False, True)]
APPS = ("a0", "a1", "a2", "b0", "b1")
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from([None, "ann", "bob"]), st.sampled_from([None, 1, 2**63])),
    st.tuples(st.just("end"), st.integers(0, 50), st.sampled_from(["reached", "unreached", "unknown"])),
    st.tuples(st.just("learn"), st.sampled_from(APPS), st.sampled_from(HEALTH)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, QUARANTINE_SECONDS]), st.none()),
    st.tuples(st.just("scale"), st.integers(0, 3), st.integers(0, 2)),
)


def table_of(version: int, first: int, second: int) -> Table:
    arms = [
        Arm(label, weight, tuple(Replica(f"{label}{index}", "http://route") for index in range(count)))
        for label, weight, count in (("a", 3.0, first), ("b", 1.0, second))
    ]
    return Table(version, {"m": Model(tuple(arms))}, 1)


def well(server: Server, known: Mapping[str, Endpoint], quarantined: Mapping[Server, float], now: float) -> bool:
    endpoint = known.get(server.replica.app)
    return (endpoint is None or endpoint.ready) and quarantined.get(server, now) <= now


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_who_is_unwell_is_never_asked_while_another_is_well_and_loads_return_to_zero(
    steps: list[tuple[str, object, object]],
) -> None:
    routes, table, now = Routes(), table_of(0, 3, 2), 0.0
    known: dict[str, Endpoint] = {}
    quarantined: dict[Server, float] = {}
    visits: list[tuple[Target, Visit]] = []
    seen: dict[str, Server] = {}

    def servers() -> list[Server]:
        return [server for split in routes._splits.values() for slot in split.slots for server in slot.servers]

    def end(index: int, outcome: str) -> None:
        target, visit = visits.pop(index)
        visit.__exit__()
        if outcome == "reached":
            routes.reached(target.server)
            quarantined.pop(target.server, None)
        elif outcome == "unreached":
            routes.unreached(target.server, now)
            quarantined[target.server] = now + QUARANTINE_SECONDS

    routes.learn(table, known, now)
    for kind, one, other in steps:
        match kind, one, other:
            case "ask", (str() | None) as key, (int() | None) as near:
                if not servers():
                    continue
                target = routes.pick(table, "m", key, now, near)
                fine = [server for server in servers() if well(server, known, quarantined, now)]
                assert target.server in (fine or servers())
                if target.server in quarantined:
                    quarantined[target.server] = now + QUARANTINE_SECONDS  # it tries for all
                visit = Visit(target.server, target.slot.arm, "", "m")
                visit.__enter__()
                visits.append((target, visit))
                seen[target.server.replica.app] = target.server
                tried = [target.server]
                while (following := routes.again("m", key, now, near, target.slot, tried)) is not None:
                    left = [server for server in servers() if server not in tried]
                    fine = [server for server in left if well(server, known, quarantined, now)]
                    assert following.server in (fine or left)
                    if following.server in quarantined:
                        quarantined[following.server] = now + QUARANTINE_SECONDS
                    tried.append(following.server)
                assert set(tried) == set(servers()), "everyone's turn comes, once each"
                assert len(tried) == len(set(tried))
            case "end", int() as index, str() as outcome:
                if visits:
                    end(index % len(visits), outcome)
            case "learn", str() as app, Endpoint() as endpoint:
                known[app] = endpoint
                routes.learn(table, known, now)
            case "wait", float() as seconds, _:
                now += seconds
            case "scale", int() as first, int() as second:
                table = table_of(table.version + 1, first, second)
                routes.learn(table, known, now)
        running = Counter(target.server for target, _ in visits)
        assert all(server.in_flight == running[server] for server in servers())
    while visits:
        end(0, "unknown")
    assert all(server.in_flight == 0 for server in {*servers(), *seen.values()})


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(APPS)), st.integers(1, 60))
def test_the_arms_have_their_shares_whoever_is_dead_in_them(dead: set[str], rounds: int) -> None:
    routes, table = Routes(), table_of(0, 3, 2)
    found = {}
    for _ in range(40):
        target = routes.pick(table, "m", None, 0.0)
        found[target.server.replica.app] = target.server
    for app in dead:
        routes.unreached(found[app], 0.0)
    alive = {app[0] for app in APPS if app not in dead}
    asked = Counter(routes.pick(table, "m", None, 0.5).slot.arm.version for _ in range(4 * rounds))
    if len(alive) == 1:
        assert set(asked) == alive
    else:
        assert asked == {"a": 3 * rounds, "b": rounds}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=8), st.integers(0, 2**64 - 1))
def test_no_preference_brings_a_replica_far_above_the_mean(loads: list[int], near: int) -> None:
    replicas = tuple(Replica(str(index), "http://route") for index in range(len(loads)))
    table = Table(0, {"m": Model((Arm("1", 1.0, replicas),))}, 1)
    routes = Routes()
    for _ in loads:
        server = routes.pick(table, "m", None, 0.0).server
        server.in_flight = loads[int(server.replica.app)]
    chosen = routes.pick(table, "m", None, 0.0, near).server
    assert chosen.in_flight <= 1.25 * sum(loads) / len(loads) + 1
