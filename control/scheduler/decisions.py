"""A decision as JSON: the snapshot, and the plan that was made of it. Pure.

Whoever decides about the snapshot again must come to the same plan.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from control.kernel.plan import Effect, Plan, Record
from control.scheduler.state import Snapshot

_snapshots = TypeAdapter(Snapshot)
PlanBody = dict[str, list[dict[str, Any]]]


def to_line(snapshot: Snapshot, plan: Plan) -> bytes:
    """One line without a line feed."""
    return b'{"snapshot":%s,"plan":%s}' % (_snapshots.dump_json(snapshot), json.dumps(_body(plan)).encode())


def from_line(line: bytes) -> tuple[Snapshot, PlanBody]:
    """What `to_line` wrote; the plan as `plan_body` has it. Raises ValueError for anything else."""
    found = json.loads(line)
    if not isinstance(found, dict) or found.keys() != {"snapshot", "plan"}:
        raise ValueError("found no decision; expected an object with a snapshot and a plan")
    return _snapshots.validate_python(found["snapshot"]), found["plan"]


def plan_body(plan: Plan) -> PlanBody:
    """The plan in plain JSON values, each action with the name of its class under "do"."""
    body: PlanBody = json.loads(json.dumps(_body(plan)))
    return body


def _body(plan: Plan) -> PlanBody:
    return {"records": [_action(one) for one in plan.records], "effects": [_action(one) for one in plan.effects]}


def _action(action: Record | Effect) -> dict[str, Any]:
    return {"do": type(action).__name__, **asdict(action)}
