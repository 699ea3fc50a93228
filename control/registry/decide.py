"""Which versions exist and where each one is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control.kernel.plan import Create, Plan, PutSpec, PutStatus, Record, Remove
from control.registry.guard import refusals
from control.registry.mirror import mirror
from control.registry.state import TRANSITIONS, Gate, Happening, KnownVersion, SeenVersion, Snapshot, Stage, Use

LONGEST_NAME = 255
"""Characters of a name in the store; MLflow allows a few more."""
_RANK = (Stage.REGISTERED, Stage.SHADOW, Stage.CANARY, Stage.PRODUCTION)
_FOUND: Mapping[Stage, Happening] = {
    Stage.REGISTERED: Happening.IDLE,
    Stage.SHADOW: Happening.SHADOWED,
    Stage.CANARY: Happening.TRIED,
    Stage.PRODUCTION: Happening.SERVED,
}
_DOES: Mapping[Stage, str] = {
    Stage.REGISTERED: "keeps it ready",
    Stage.SHADOW: "copies requests to it",
    Stage.CANARY: "tries it on a part of the traffic",
    Stage.PRODUCTION: "serves it",
}
_EVENTS: Mapping[Stage, str] = {
    Stage.REGISTERED: "Withdrawn",
    Stage.SHADOW: "Shadow",
    Stage.CANARY: "Canary",
    Stage.PRODUCTION: "Production",
    Stage.RETIRED: "Retired",
}


def decide(snapshot: Snapshot) -> Plan:
    """Take over what MLflow has, record each change of stage (the deployment record), mirror it as aliases and tags."""
    seen = {version.name: version for version in snapshot.seen}
    uses: dict[str, list[Use]] = {}
    for use in snapshot.uses:
        uses.setdefault(f"{use.model}@{use.version}", []).append(use)
    records: list[Record] = list(_adopt(snapshot))
    statuses: dict[str, Mapping[str, Any]] = {}
    for version in snapshot.known:
        statuses[version.name] = version.status
        there = seen.get(version.name)
        if there is None and not version.stage.in_use and version.name not in uses:
            records.append(_forget(version))
        elif there is not None and there.spec != version.spec:
            records.append(_refresh(version, there))
        elif not _untouched(version, uses, snapshot):
            happening, stage = next_stage(version, uses.get(version.name, ()), snapshot)
            status = _status(version, happening, stage, uses.get(version.name, ()), snapshot, gone=there is None)
            if status != (version.status or _status_of_new()):
                records.append(_record(version, status, refused=stage is None))
                statuses[version.name] = status
    return Plan(tuple(records), mirror(snapshot, statuses))


def _untouched(version: KnownVersion, uses: Mapping[str, list[Use]], snapshot: Snapshot) -> bool:
    """Whether nobody ever did or said anything about it: of ten thousand versions most are so, and cost nothing."""
    named = version.name in uses or version.name in snapshot.retired
    return not version.status and not named and version.gate[0] is not Gate.FAILED


def next_stage(version: KnownVersion, uses: Sequence[Use], snapshot: Snapshot) -> tuple[Happening, Stage | None]:
    """What happened to the version, and the stage it comes to: None where the table has no such transition."""
    found = _happening(version, uses, snapshot)
    return found, TRANSITIONS.get((version.stage, found))


def _happening(version: KnownVersion, uses: Sequence[Use], snapshot: Snapshot) -> Happening:
    retired = version.name in snapshot.retired
    if version.stage is Stage.RETIRED and not retired:
        return Happening.RESTORED
    if not uses:
        return Happening.TAKEN_OUT if retired else Happening.IDLE
    role = max((use.stage for use in uses), key=_RANK.index)
    barred = refusals(version.name, version.gate, None, snapshot.overridden.get(version.name))
    if role in barred and not version.stage.answers:
        return Happening.BARRED
    return _FOUND[role]


def _adopt(snapshot: Snapshot) -> Iterator[Record]:
    known = {version.name for version in snapshot.known}
    for version in snapshot.seen:
        if version.name not in known and len(version.name) <= LONGEST_NAME:
            run = version.spec.get("run_id") or "unknown"
            reason = f"MLflow run {run}"
            yield Create(kind="ModelVersion", name=version.name, event="Registered", reason=reason, spec=version.spec)


def _forget(version: KnownVersion) -> Record:
    reason = "MLflow has it no more"
    return Remove(kind="ModelVersion", name=version.name, event="Deleted", reason=reason, revision=version.revision)


def _refresh(version: KnownVersion, there: SeenVersion) -> Record:
    changed = [name for name in there.spec if there.spec[name] != version.spec.get(name)]
    return PutSpec(
        kind="ModelVersion",
        name=version.name,
        event="Refreshed",
        reason=f"MLflow has other {', '.join(changed)}" if changed else "MLflow says less of it",
        revision=version.revision,
        spec=there.spec,
    )


def _status(
    version: KnownVersion,
    happening: Happening,
    stage: Stage | None,
    uses: Sequence[Use],
    snapshot: Snapshot,
    *,
    gone: bool,
) -> Mapping[str, Any]:
    """`refuses` says, for each role that the version may not be given, why: the router and `apply` keep to it."""
    retired, overridden = snapshot.retired.get(version.name), snapshot.overridden.get(version.name)
    refused = refusals(version.name, version.gate, retired, overridden)
    holders = ", ".join(sorted({use.deployment for use in uses}))
    reason = _reason(version, happening, uses, snapshot)
    if stage is None and happening is Happening.BARRED:
        reason = f"deployment {holders} gives it traffic, but {refused[Stage.PRODUCTION]}"
    elif stage is None:
        reason = f"deployment {holders} names it, but {refused[Stage.SHADOW]}"
    elif uses and retired is not None:
        reason += f"; {retired.by} retired it ({retired.reason}), which waits for that to end"
    if gone:
        reason += "; MLflow has it no more"
    return {
        "phase": (stage or version.stage).value,
        "reason": reason,
        "deployments": sorted({use.deployment for use in uses}),
        "refuses": {role.value: why for role, why in refused.items()},
    }


def _reason(version: KnownVersion, happening: Happening, uses: Sequence[Use], snapshot: Snapshot) -> str:
    match happening:
        case _ if uses and happening is not Happening.RESTORED:
            return "; ".join(sorted({f"deployment {use.deployment} {_DOES[use.stage]}" for use in uses}))
        case Happening.IDLE if version.stage is Stage.REGISTERED and not version.status.get("deployments"):
            return str(version.status.get("reason", ""))
        case Happening.IDLE:
            return "no deployment serves it any more"
        case Happening.TAKEN_OUT:
            ruling = snapshot.retired[version.name]
            return f"{ruling.by} retired it: {ruling.reason}"
        case Happening.RESTORED:
            return "restored"
        case Happening.SHADOWED | Happening.TRIED | Happening.SERVED | Happening.BARRED:
            raise AssertionError("only a version in use is so")


def _status_of_new() -> Mapping[str, Any]:
    """What a version without a status has: nothing is written of ten thousand that nobody used yet."""
    return {"phase": Stage.REGISTERED.value, "reason": "", "deployments": [], "refuses": {}}


def _record(version: KnownVersion, status: Mapping[str, Any], *, refused: bool) -> Record:
    stage = Stage(status["phase"])
    event = _EVENTS[stage]
    if refused:
        event = "Refused"
    elif version.stage is Stage.RETIRED and stage is Stage.REGISTERED:
        event = "Restored"
    told = refused and status["reason"] != version.status.get("reason")
    return PutStatus(
        kind="ModelVersion",
        name=version.name,
        event=event,
        reason=status["reason"],
        revision=version.revision,
        status=status,
        quiet=stage is version.stage and not told,
    )
