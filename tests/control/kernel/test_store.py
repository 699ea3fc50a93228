"""The store: compare-and-set, all or nothing, and nothing lost between writers."""

from __future__ import annotations

import math
import multiprocessing
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from control.kernel.plan import Create, Note, PutSpec, PutStatus, Remove
from control.kernel.store import Conflict, Store, WrongSchema

WRITES = 12


def create(name: str = "one", **spec: object) -> Create:
    return Create(kind="Thing", name=name, event="Created", reason="test", spec=spec)


def put(name: str = "one", revision: int | None = None, **spec: object) -> PutSpec:
    return PutSpec(kind="Thing", name=name, event="Changed", reason="test", spec=spec, revision=revision)


def status(name: str = "one", revision: int | None = None, quiet: bool = False, **body: object) -> PutStatus:
    return PutStatus(kind="Thing", name=name, event="Seen", reason="test", status=body, revision=revision, quiet=quiet)


def note(name: str = "one", reason: str = "test") -> Note:
    return Note(kind="Thing", name=name, event="Noted", reason=reason)


def remove(name: str = "one", revision: int | None = None) -> Remove:
    return Remove(kind="Thing", name=name, event="Removed", reason="test", revision=revision)


def write(store: Store, *records: Create | PutSpec | PutStatus | Note | Remove, now: float = 1.0) -> None:
    store.commit(records, who="test", now=now)


def spec_of(store: Store, name: str = "one") -> object:
    found = store.get("Thing", name)
    return None if found is None else found.spec


def test_a_created_object_is_read_back_as_it_was_written(store: Store) -> None:
    write(store, create(a=[1, {"b": None}]), now=7.5)
    found = store.get("Thing", "one")
    assert found is not None
    assert (found.spec, found.status, found.generation) == ({"a": [1, {"b": None}]}, {}, 1)
    assert (found.created_at, found.updated_at, found.revision) == (7.5, 7.5, store.revision())


def test_creating_twice_is_creating_once(store: Store) -> None:
    write(store, create(a=1))
    write(store, create(a=2))
    assert spec_of(store) == {"a": 1}
    assert [event.event for event in store.events()] == ["Created"]


def test_a_new_generation_comes_only_with_another_spec(store: Store) -> None:
    generations = []
    for value in (1, 1, 2):
        write(store, put(a=value))
        found = store.get("Thing", "one")
        assert found is not None
        generations.append(found.generation)
    assert generations == [1, 1, 2]
    assert len(store.events()) == 2


def test_a_status_changes_the_revision_and_not_the_generation(store: Store) -> None:
    write(store, create())
    before = store.get("Thing", "one")
    write(store, status(phase="Ready"))
    after = store.get("Thing", "one")
    assert before is not None
    assert after is not None
    assert after.generation == before.generation
    assert after.revision > before.revision
    assert after.status == {"phase": "Ready"}


def test_a_quiet_status_leaves_no_event(store: Store) -> None:
    write(store, create(), status(quiet=True, a=1))
    assert [event.event for event in store.events()] == ["Created"]


def test_writing_at_an_old_revision_is_a_conflict(store: Store) -> None:
    write(store, create())
    seen = store.revision()
    write(store, status(revision=seen, a=1))
    for late in (status(revision=seen, a=2), put(revision=seen, a=2), remove(revision=seen)):
        with pytest.raises(Conflict, match="Thing/one"):
            write(store, late)
    found = store.get("Thing", "one")
    assert found is not None
    assert found.status == {"a": 1}


def test_a_stamp_is_another_one_after_every_change_of_its_kind_and_after_no_other(store: Store) -> None:
    changes: list[list[Create | PutSpec | PutStatus | Note | Remove]] = [
        [create()],
        [create("two")],
        [put(a=1)],
        [status("two", a=1)],
        [remove("two"), create("three")],
        [remove("three")],
        [remove()],
    ]
    for number, change in enumerate(changes):
        before = store.stamp("Thing")
        write(store, *change)
        after = store.stamp("Thing")
        assert after != before
        write(store, note(), replace(create(), kind="Other", name=str(number)))
        assert store.stamp("Thing") == after


def test_the_status_of_an_object_that_is_gone_is_a_conflict(store: Store) -> None:
    with pytest.raises(Conflict, match="Thing/one is gone"):
        write(store, status(a=1))


def test_a_conflict_in_the_last_record_undoes_the_whole_plan(store: Store) -> None:
    write(store, create("old"))
    before = (store.revision(), store.list(), store.events())
    with pytest.raises(Conflict):
        write(store, create("new"), put("old", a=1), note(), remove("old"), status("old", revision=999))
    assert (store.revision(), store.list(), store.events()) == before


def test_a_removed_object_leaves_its_events_and_a_new_one_of_its_name_is_another(store: Store) -> None:
    write(store, create())
    first = store.get("Thing", "one")
    write(store, remove())
    write(store, remove())
    write(store, create())
    second = store.get("Thing", "one")
    assert first is not None
    assert second is not None
    assert first.uid != second.uid
    assert [event.event for event in store.events("Thing", "one")] == ["Created", "Removed", "Created"]


def test_events_come_in_the_order_in_which_they_happened_and_limit_keeps_the_newest(store: Store) -> None:
    write(store, create(), *(note(reason=str(number)) for number in range(5)))
    write(store, note("other"))
    sequence = [event.seq for event in store.events()]
    assert sequence == sorted(set(sequence))
    assert [event.reason for event in store.events("Thing", "one", limit=2)] == ["3", "4"]
    assert [event.name for event in store.events(after=sequence[-2])] == ["other"]
    assert store.events()[0].who == "test"


def test_objects_are_listed_oldest_first(store: Store) -> None:
    for now, name in ((3.0, "c"), (1.0, "b"), (2.0, "a"), (1.0, "a2")):
        write(store, create(name), now=now)
    assert [o.name for o in store.list("Thing")] == ["a2", "b", "a", "c"]
    assert store.list("Other") == ()


def test_a_heartbeat_replaces_the_last_one_and_changes_no_revision(store: Store) -> None:
    before = store.revision()
    store.beat("router", {"act": 0.1}, now=1.0)
    store.beat("router", {"act": 0.2}, now=2.0)
    (beat,) = store.heartbeats()
    assert (beat.actor, beat.at, beat.body) == ("router", 2.0, {"act": 0.2})
    assert store.revision() == before


def test_all_is_there_after_closing_and_opening_again(store: Store, url: str) -> None:
    write(store, create(a=1), note())
    before = (store.list(), store.events(), store.revision())
    store.close()
    again = Store(url)
    assert (again.list(), again.events(), again.revision()) == before
    again.close()


def test_a_store_of_another_schema_is_refused(store: Store, url: str) -> None:
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE counters SET value = 99 WHERE name = 'schema'"))
    with pytest.raises(WrongSchema, match="schema 99"):
        Store(url)


def append(url: str, me: str) -> None:
    """Add WRITES entries to one shared list, each by compare-and-set, and leave an event for each."""
    store = Store(url)
    for number in range(WRITES):
        while True:
            found = store.get("Thing", "shared")
            assert found is not None
            entries = [*found.spec["entries"], f"{me}-{number}"]
            try:
                write(store, put("shared", revision=found.revision, entries=entries), note(me, str(number)))
                break
            except Conflict:
                continue
    store.close()


def assert_nothing_is_lost(store: Store, writers: list[str]) -> None:
    found = store.get("Thing", "shared")
    assert found is not None
    assert sorted(found.spec["entries"]) == sorted(f"{me}-{number}" for me in writers for number in range(WRITES))
    assert found.generation == 1 + len(writers) * WRITES
    for me in writers:
        assert [event.reason for event in store.events("Thing", me)] == [str(number) for number in range(WRITES)]


def test_two_threads_that_write_at_once_lose_nothing(store: Store, url: str) -> None:
    write(store, create("shared", entries=[]))
    threads = [threading.Thread(target=append, args=(url, me)) for me in ("t1", "t2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert_nothing_is_lost(store, ["t1", "t2"])


def test_two_processes_that_write_at_once_lose_nothing(store: Store, url: str) -> None:
    write(store, create("shared", entries=[]))
    store.close()
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=append, args=(url, me)) for me in ("p1", "p2")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert_nothing_is_lost(store, ["p1", "p2"])


def test_events_after_a_number_are_the_first_that_follow_it(store: Store) -> None:
    write(store, *(note(reason=str(number)) for number in range(5)))
    first = store.events()[0].seq
    assert [event.reason for event in store.events(after=first, limit=2)] == ["1", "2"]
    assert [event.reason for event in store.events(after=0, limit=2)] == ["0", "1"]
    assert [event.reason for event in store.events(limit=2)] == ["3", "4"]


def test_asking_again_for_the_same_spec_makes_a_new_generation(store: Store) -> None:
    write(store, put(a=1))
    write(store, replace(put(a=1), again=True))
    found = store.get("Thing", "one")
    assert found is not None
    assert (found.generation, found.spec) == (2, {"a": 1})
    assert len(store.events()) == 2


def test_threads_that_open_a_new_store_at_once_all_get_it(url: str) -> None:
    failed: list[Exception] = []

    def open_it() -> None:
        try:
            Store(url).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_one_plan_may_write_an_object_several_times_and_the_records_hold_in_their_order(store: Store) -> None:
    write(store, create(n=1))
    write(
        store,
        status(step=1),
        put(n=2),
        status(step=2),
        remove("two"),
        create("two", n=1),
        put("two", n=2),
        remove("two"),
    )
    found = store.get("Thing", "one")
    assert found is not None
    assert (found.spec, found.status, found.generation) == ({"n": 2}, {"step": 2}, 2)
    assert store.get("Thing", "two") is None
    assert [event.event for event in store.events("Thing", "two")] == ["Created", "Changed", "Removed"]


def test_a_record_sees_what_the_one_before_it_in_the_plan_did(store: Store) -> None:
    write(store, create(n=1), create(n=9), put(n=1))
    assert (spec_of(store), len(store.events("Thing", "one"))) == ({"n": 1}, 1)
    with pytest.raises(Conflict):
        write(store, remove(), status(step=1))
    found = store.get("Thing", "one")
    assert found is not None
    with pytest.raises(Conflict):
        write(store, put(n=2), status(step=1, revision=found.revision))
    assert spec_of(store) == {"n": 1}


def test_a_plan_of_a_thousand_records_is_written_whole(store: Store) -> None:
    write(store, *(create(f"t{number:04}", n=number) for number in range(1000)))
    write(store, *(status(f"t{number:04}", step=number) for number in range(1000)), note(reason="done"))
    assert [o.status["step"] for o in store.list("Thing")] == list(range(1000))
    assert store.events("Thing")[-1].reason == "done"


def test_a_list_shows_what_other_processes_changed_made_and_removed_since_the_last(store: Store, url: str) -> None:
    write(store, create("a", n=1), create("b", n=1), create("c", n=1))
    assert [o.spec["n"] for o in store.list("Thing")] == [1, 1, 1]
    other = Store(url)
    write(other, put("b", n=2), remove("c"), create("d", n=1))
    other.close()
    assert {o.name: o.spec["n"] for o in store.list("Thing")} == {"a": 1, "b": 2, "d": 1}
    assert {o.name for o in store.list()} == {"a", "b", "d"}
    assert store.list("Other") == ()


def test_an_object_that_comes_back_under_its_name_is_not_the_one_that_was_listed(store: Store) -> None:
    write(store, create(n=1))
    (before,) = store.list("Thing")
    write(store, remove(), create(n=1))
    (after,) = store.list("Thing")
    assert after.uid != before.uid


def test_what_did_not_change_is_not_decoded_again(store: Store) -> None:
    write(store, create("a"), create("b"))
    first = {o.name: o for o in store.list("Thing")}
    write(store, status("b", step=1))
    second = {o.name: o for o in store.list("Thing", "Other")}
    assert second["a"] is first["a"]
    assert second["b"] is not first["b"]


def test_lists_taken_while_others_write_are_each_of_one_moment(store: Store, url: str) -> None:
    write(store, create("a", n=0), create("b", n=0))
    written, stop = threading.Event(), threading.Event()

    def keep_writing() -> None:
        writer, number = Store(url), 0
        while not stop.is_set():
            number += 1
            write(writer, put("a", n=number), put("b", n=number))
            written.set()
        writer.close()

    seen = [(0, 0)]
    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        assert written.wait(30)
        seen += [tuple(o.spec["n"] for o in store.list("Thing")) for _ in range(100)]
    finally:
        stop.set()
        thread.join()
    assert all(first == second for first, second in seen)
    assert len(set(seen)) > 1


def test_what_a_program_printed_and_a_metric_that_is_no_number_are_kept(store: Store) -> None:
    write(store, create("loss", value=float("nan"), text="a\0b"), note(reason="a\0b"))
    found = store.get("Thing", "loss")
    assert found is not None
    assert math.isnan(found.spec["value"])
    assert found.spec["text"] == "a\0b"
    assert store.events("Thing", "one")[0].reason.strip("ab")


def test_a_name_may_be_long_and_names_are_ordered_by_their_code_points(store: Store) -> None:
    names = ["B", "a", "ä", "x" * 400]
    write(store, *(create(name) for name in reversed(names)))
    store.beat("x" * 400, {}, now=1.0)
    assert [o.name for o in store.list("Thing")] == ["B", "a", "x" * 400, "ä"]


def test_signs_of_life_of_those_long_gone_can_be_forgotten(store: Store) -> None:
    for actor, at in (("gateway:a", 1.0), ("gateway:b", 5.0), ("gateway_c", 1.0), ("router", 1.0)):
        store.beat(actor, {}, now=at)
    store.forget_beats("gateway:", before=5.0)
    assert {beat.actor for beat in store.heartbeats()} == {"gateway:b", "gateway_c", "router"}


def test_two_lives_of_an_actor_that_beat_at_once_leave_one_sign(store: Store, url: str) -> None:
    stores = [Store(url) for _ in range(4)]
    for number in range(5):
        threads = [threading.Thread(target=s.beat, args=(f"actor-{number}", {}), kwargs={"now": 1.0}) for s in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for one in stores:
        one.close()
    assert [beat.actor for beat in store.heartbeats()] == [f"actor-{number}" for number in range(5)]
