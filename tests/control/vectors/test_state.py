"""The table of a shard's phases, walked over every phase and every event; and how a shard is stored."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from control.vectors.state import TRANSITIONS, Event, Phase, Replica, Shard, from_json, to_json

SHARD = Shard(
    "docs.0a0a0a0a.1",
    "docs",
    "0a0a0a0a",
    1,
    Phase.SETTLING,
    epoch=3,
    leader=2,
    members=(0, 2),
    configs=((0, 1, 2), (0, 2)),
    aim=(),
    replicas=(Replica(0, "n0", True), Replica(2, "n2", True), Replica(3, "n3")),
    ending=(Replica(1, "n1", True),),
    next=4,
)
REACHED = {
    (phase, event)
    for phase, events in {
        Phase.FORMING: (Event.CHOSEN, Event.UNWANTED),
        Phase.ELECTING: (Event.CHOSEN, Event.UNWANTED),
        Phase.SETTLING: (Event.SETTLED, Event.LOST, Event.CHANGED, Event.UNWANTED),
        Phase.SERVING: (Event.LOST, Event.CHANGED, Event.UNWANTED),
        Phase.ENDING: (),
    }.items()
    for event in events
}


@pytest.mark.parametrize(("phase", "event"), itertools.product(Phase, Event))
def test_each_event_happens_in_the_phases_that_know_it_and_no_other(phase: Phase, event: Event) -> None:
    shard = replace(SHARD, phase=phase)
    if (phase, event) in REACHED:
        assert shard.after(event).phase is TRANSITIONS[phase, event]
    else:
        with pytest.raises(KeyError):
            shard.after(event)


@pytest.mark.parametrize("phase", Phase)
def test_only_an_ending_shard_stays_as_it_is(phase: Phase) -> None:
    assert (phase is Phase.ENDING) is not any(before is phase for before, _ in TRANSITIONS)
    assert not (phase.led and phase.asks_promises)


def test_a_leader_is_only_made_out_of_promises() -> None:
    assert {before for (before, _), after in TRANSITIONS.items() if after is Phase.SETTLING} == {
        phase for phase in Phase if phase.asks_promises
    }


def test_what_is_stored_is_what_is_read() -> None:
    stored = json.loads(json.dumps(to_json(SHARD)))
    read = from_json(SHARD.name, stored, since=5.0, revision=7, generation=2)
    assert read == replace(SHARD, since=5.0, revision=7, generation=2)
    assert to_json(SHARD) == stored, "what is compared with the store has to have its form"


def test_learners_are_those_who_are_no_members() -> None:
    assert SHARD.learners == (3,)
    assert str(SHARD.called(3)) == "vectors:docs:0a0a0a0a:1:3"
