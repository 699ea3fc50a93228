"""Heartbeats are read by their kind, and what cannot be read is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.kernel.beats import read_beats
from control.kernel.store import Heartbeat


def number(body: Mapping[str, Any]) -> int:
    return int(body["n"])


def test_those_of_one_kind_are_read_and_what_cannot_be_read_is_left_out() -> None:
    beats = [
        Heartbeat("engine:a", 1.0, {"n": "1"}),
        Heartbeat("router", 2.0, {"n": "2"}),
        Heartbeat("engine:b", 3.0, {"n": "three"}),
        Heartbeat("engine:c:0", 4.0, {"n": 4}),
    ]
    assert list(read_beats(beats, "engine:", number)) == [("a", 1.0, 1), ("c:0", 4.0, 4)]
