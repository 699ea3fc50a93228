"""What vectors control does with collections, as a whole: a real store, real decisions, replicas that are killed."""

from __future__ import annotations

import pytest

from control.kernel.plan import EndReplica, EnsureReplica, PutSpec, RetuneReplica
from control.kernel.store import Conflict
from control.vectors.state import Phase
from tests.control.router.world import deployment, plane_with
from tests.control.vectors.world import World, collection, node
from tests.fakes.fuse import Crash, Fuse
from tests.fakes.plane import Plane


def test_a_new_collection_has_each_replica_on_a_node_of_its_own_and_one_leader() -> None:
    world = World(3, collection())
    world.settle()
    shard = world.shard()
    assert (shard.phase, shard.epoch, shard.members) == (Phase.SERVING, 1, (0, 1, 2))
    assert sorted(one.node for one in shard.replicas) == ["n0", "n1", "n2"]
    assert world.replicas.leading(world.leader())
    assert world.status() == ("Ready", "1 shard, 3 replicas")


def test_leaders_of_many_shards_are_spread_over_the_nodes() -> None:
    world = World(3, collection(shards=6))
    world.settle()
    nodes = [one.node for shard in world.shards() for one in shard.replicas if one.number == shard.leader]
    assert sorted(nodes) == ["n0", "n0", "n1", "n1", "n2", "n2"]


def test_the_table_tells_who_leads_each_shard() -> None:
    world = World(2, collection(shards=2, replicas=2))
    world.settle()
    table = world.table()["docs"]
    assert isinstance(table, dict)
    assert table["spec"]["dimension"] == 8
    assert [one["leader"] for one in table["shards"]] == [world.leader(0), world.leader(1)]
    assert table["shards"][1]["members"] == [world.actor(0, 1), world.actor(1, 1)]


def test_a_leader_that_is_back_soon_stays_leader() -> None:
    world = World(3, collection())
    world.settle()
    leader = world.leader()
    world.replicas.kill(leader)
    world.turn(3.0)
    world.replicas.revive(leader)
    world.settle()
    assert (world.shard().epoch, world.leader()) == (1, leader)


def test_a_leader_that_stays_away_is_replaced_and_follows_when_it_is_back() -> None:
    world = World(3, collection())
    world.settle()
    leader = world.leader()
    world.replicas.write(leader, 7)
    world.replicas.replicate()
    world.replicas.kill(leader)
    for _ in range(6):
        world.turn(3.0)
    assert world.shard().epoch == 2
    assert world.leader() != leader
    assert (2, 0) in world.replicas.disk(world.leader()).log
    world.replicas.revive(leader)
    world.settle()
    assert not world.replicas.leading(leader)
    assert (1, 7) in world.replicas.disk(world.leader()).log
    assert world.status()[0] == "Ready"


def test_a_leader_with_damaged_data_gives_way_to_a_replica_that_is_whole() -> None:
    world = World(3, collection())
    world.settle()
    leader = world.leader()
    world.replicas.damaged.add(leader)
    for _ in range(10):
        world.turn(3.0)
    assert world.leader() != leader
    assert world.status() == ("Degraded", "shard 0: replica 0: segment 3 is damaged")
    world.replicas.damaged.clear()
    world.settle()
    assert (world.shard().epoch, world.status()[0]) == (2, "Ready")


def test_where_no_replica_is_whole_the_leader_stays() -> None:
    world = World(3, collection())
    world.settle()
    world.replicas.damaged.update(world.replicas.processes)
    world.settle()
    assert world.shard().epoch == 1


def test_while_too_few_replicas_live_nobody_is_made_leader_and_the_reason_is_told() -> None:
    world = World(3, collection())
    world.settle()
    others = [world.actor(number) for number in (0, 1, 2) if world.actor(number) != world.leader()]
    world.replicas.kill(world.leader())
    world.replicas.kill(others[0])
    for _ in range(8):
        world.turn(3.0)
    assert world.shard().epoch == 1
    assert world.status()[0] == "Degraded"
    assert "shard 0 takes no writes: 1 of its 3 replicas answer; 2 are needed" in world.status()[1]


def test_the_only_replica_is_waited_for_and_never_made_anew_elsewhere() -> None:
    world = World(2, collection(replicas=1))
    world.settle()
    home = world.shard().replicas[0].node
    gone = world.remove_node(home)
    for _ in range(30):
        world.turn(5.0)
    assert [one.number for one in world.shard().replicas if one.number in world.shard().members] == [0]
    assert world.shard().epoch == 1
    assert f"its node {home} is gone" in world.status()[1]
    world.plane.drive.alive_nodes.append(gone)
    world.settle()
    assert world.status()[0] == "Ready"
    assert world.leader() == world.actor(0)


def test_a_replica_whose_node_is_gone_gets_a_successor_and_is_a_member_no_more() -> None:
    world = World(4, collection())
    world.settle()
    world.remove_node("n1")
    world.settle()
    shard = world.shard()
    assert sorted(one.node for one in shard.replicas) == ["n0", "n2", "n3"]
    assert len(shard.members) == 3
    assert shard.configs == (shard.members,)
    assert world.status()[0] == "Ready"


def test_without_another_node_the_place_of_a_lost_replica_is_waited_for() -> None:
    world = World(3, collection())
    world.settle()
    world.remove_node("n1")
    for _ in range(20):
        world.turn(5.0)
    assert world.status()[0] in ("Degraded", "Ready")
    world.plane.drive.alive_nodes.append(node("n4"))
    world.settle()
    assert sorted(one.node for one in world.shard().replicas) == ["n0", "n2", "n4"]


def test_a_replica_that_lost_its_disk_is_not_believed_and_replaced() -> None:
    world = World(3, collection())
    world.settle()
    victim = next(number for number in (0, 1, 2) if number != world.shard().leader)
    world.replicas.write(world.leader(), 5)
    world.replicas.replicate()
    actor = world.actor(victim)
    world.replicas.kill(actor)
    world.replicas.wipe(actor)
    world.replicas.unreachable.add(actor)  # nobody fills it before control sees it
    world.turn()
    world.replicas.revive(actor)
    for _ in range(3):
        world.turn()
    world.replicas.unreachable.clear()
    world.settle()
    shard = world.shard()
    assert victim not in shard.members
    assert len(shard.members) == 3
    assert "EndReplica" in {type(effect).__name__ for effect in world.plane.drive.acts}


def test_more_replicas_come_one_by_one_and_fewer_go_one_by_one() -> None:
    world = World(5, collection(replicas=1))
    world.settle()
    world.replicas.write(world.leader(), 3)
    world.plane.apply(collection(replicas=3))
    world.settle()
    assert len(world.shard().members) == 3
    assert world.shard().epoch == 3
    world.plane.apply(collection(replicas=2))
    world.settle()
    assert len(world.shard().members) == 2
    assert (1, 3) in world.replicas.disk(world.leader()).log
    assert len(world.replicas.disks) == 2


def test_replicas_move_apart_when_a_node_joins() -> None:
    world = World(1, collection(replicas=2))
    world.settle()
    assert [one.node for one in world.shard().replicas] == ["n0", "n0"]
    world.plane.drive.alive_nodes.append(node("n1"))
    world.settle()
    assert sorted(one.node for one in world.shard().replicas) == ["n0", "n1"]
    assert len(world.replicas.processes) == 2


def test_what_has_no_room_is_told_with_the_reason_of_every_node() -> None:
    world = World(0, collection(replicas=2))
    world.plane.drive.alive_nodes = [node("n0", gib=4), node("n1", gib=0)]
    world.plane.drive.alive_nodes[1] = node("n1", gib=1)
    world.plane.apply(collection(replicas=2, dimension=4096))
    for _ in range(10):
        world.turn(5.0)
    phase, reason = world.status()
    assert phase == "Degraded"
    assert "a replica has no place" in reason
    assert "n0 has a replica of this shard already" in reason
    assert "n1 has 1.0 GiB of memory left, about 1.8 GiB are needed" in reason


def test_a_changed_spec_is_told_to_every_replica() -> None:
    world = World(2, collection(replicas=2, index="{kind: hnsw}"))
    world.settle()
    world.plane.apply(collection(replicas=2, index="{kind: hnsw, ef_search: 200}"))
    world.settle()
    told = [effect for effect in world.plane.drive.acts if isinstance(effect, RetuneReplica)]
    assert {effect.actor for effect in told} == {world.actor(0), world.actor(1)}
    assert {process.generation for process in world.replicas.processes.values()} == {2}
    assert told[0].spec.index.ef_search == 200


def test_a_deleted_collection_leaves_the_table_first_then_its_processes_then_its_files() -> None:
    world = World(2, collection(replicas=2))
    world.settle()
    world.plane.delete("Collection", "docs")
    world.turn()
    assert world.table() == {}
    assert not [effect for effect in world.plane.drive.acts if isinstance(effect, EndReplica)]
    assert len(world.replicas.processes) == 2
    world.settle()
    assert not world.replicas.processes
    assert not world.replicas.disks
    assert not world.plane.store.list("Shard")


def test_a_collection_that_is_made_anew_under_its_name_has_nothing_of_the_former_one() -> None:
    world = World(2, collection(replicas=1))
    world.settle()
    world.replicas.write(world.leader(), 4)
    former = world.leader()
    world.plane.delete("Collection", "docs")
    world.plane.apply(collection(replicas=1))
    world.settle()
    assert world.leader() != former
    assert world.replicas.disk(world.leader()).log == [(1, 0)]
    assert len(world.replicas.disks) == 1


def test_a_collection_that_nobody_can_read_any_more_keeps_all_it_has() -> None:
    world = World(2, collection(replicas=2))
    world.settle()
    found, table = world.plane.only("Collection"), world.table()
    broken = {**found.spec, "spec": {**found.spec["spec"], "metric": "hamming"}}
    change = PutSpec(kind="Collection", name="docs", event="Broken", reason="test", spec=broken)
    world.plane.store.commit((change,), who="test", now=world.plane.clock())
    world.settle()
    assert len(world.replicas.disks) == 2
    assert world.table() == table


def test_after_ray_was_started_anew_replicas_are_where_their_data_is() -> None:
    world = World(3, collection())
    world.settle()
    places = {one.number: one.node for one in world.shard().replicas}
    for number, one in enumerate(world.plane.drive.alive_nodes):
        lasting = {key: disk for key, disk in world.replicas.disks.items() if key[0] == one.node_id}
        again = node(one.labels["biplane.io/node"], life=1)
        world.replicas.disks |= {(again.node_id, key[1]): disk for key, disk in lasting.items()}
        world.plane.drive.alive_nodes[number] = again
    world.plane.restart()
    world.settle()
    assert {one.number: one.node for one in world.shard().replicas} == places
    assert world.status()[0] == "Ready"
    assert world.replicas.leading(world.leader())


@pytest.mark.parametrize("point", range(0, 60, 3))
def test_killed_between_any_record_and_any_effect_it_ends_where_it_would_have(point: int) -> None:
    """A leader dies for good, a node joins; the control actor dies at some point of what it does about it."""
    world = World(4, collection())
    world.settle()
    world.replicas.write(world.leader(), 1)
    world.replicas.replicate()
    fuse = Fuse([point])
    world.plane.fuse.__dict__.update(fuse.__dict__)
    home = next(one.node for one in world.shard().replicas if one.number == world.shard().leader)
    world.remove_node(home)
    for _ in range(60):
        try:
            world.turn(5.0)
        except Crash:
            world.plane.restart()
    world.settle()
    assert len(world.shard().members) == 3
    assert (1, 1) in world.replicas.disk(world.leader()).log
    assert all(len(leaders) == 1 for leaders in world.replicas.leaders.values())


def test_a_decision_that_was_overtaken_writes_nothing() -> None:
    """Two lives of the control actor choose a leader of one epoch. The elder saw other replicas answer, and is slow."""
    world = World(3, collection())
    world.settle()
    first, second, third = (world.actor(number) for number in (0, 1, 2))
    world.replicas.kill(first)
    while world.shard().phase is not Phase.ELECTING:
        world.turn()
    world.turn()
    world.plane.clock.tick(5.0)
    elder = world.plane.loops["vectors"].domain
    plan = elder.decide(elder.observe(world.plane.store, world.plane.clock()))
    written = [record for record in plan.records if record.kind == "Shard"]
    assert [record.event for record in written] == ["LeaderChosen"]
    world.replicas.kill(second)
    world.replicas.revive(first)
    world.plane.restart()
    world.settle()
    chosen = world.shard()
    assert (chosen.epoch, world.leader()) != (1, second)
    with pytest.raises(Conflict):
        world.plane.store.commit(written, who="vectors", now=world.plane.clock())
    assert third in (world.actor(number) for number in chosen.members)
    assert all(len(leaders) == 1 for leaders in world.replicas.leaders.values())


def test_what_serves_models_does_not_take_the_table_of_collections_for_its_own() -> None:
    plane = plane_with(1, deployment(), collection(replicas=1))
    plane.settle()
    assert {o.name for o in plane.store.list("Table")} == {"gateway", "vectors"}
    assert [o.status["phase"] for o in plane.store.list("Deployment")] == ["Ready"]


def test_replicas_on_gpus_are_where_the_scheduler_leases_devices() -> None:
    plane = Plane()
    plane.apply(collection(replicas=2, index="{device: gpu}"))
    for _ in range(12):
        plane.turn()
        plane.drive.collections.replicate()
    workloads = {o.name: o.status["lease"]["pieces"] for o in plane.store.list("Workload")}
    asked = {effect.request.workload: effect for effect in plane.drive.acts if isinstance(effect, EnsureReplica)}
    assert asked.keys() == workloads.keys()
    assert len(asked) == 2
    for name, effect in asked.items():
        assert list(effect.request.devices) == workloads[name][0]["devices"]
        assert effect.grant is not None
        assert effect.grant.pieces[0].resource == "sim-gpu"
    assert plane.only("Collection").status["phase"] == "Ready"
    assert not plane.drive.bundles, "Ray is asked for the devices by the actors themselves"
    plane.delete("Collection", "docs")
    for _ in range(12):
        plane.clock.tick(2.0)
        plane.turn()
    assert not plane.store.list("Workload")
    assert not plane.drive.collections.processes


def test_a_lease_is_given_back_only_when_nothing_of_the_replica_lives() -> None:
    plane = Plane()
    plane.apply(collection(replicas=1, index="{device: gpu}"))
    for _ in range(8):
        plane.turn()
        plane.drive.collections.replicate()
    plane.delete("Collection", "docs")
    while plane.drive.collections.processes:
        assert plane.store.list("Workload")
        plane.clock.tick(2.0)
        plane.turn("vectors")


def test_an_actor_is_asked_for_only_where_there_is_none() -> None:
    world = World(2, collection(replicas=2))
    world.settle()
    asked = [effect for effect in world.plane.drive.acts if isinstance(effect, EnsureReplica)]
    assert len(asked) == 2
    assert asked[0].request.directory == f"/vectors/docs-{world.shard().life}/0/0"
