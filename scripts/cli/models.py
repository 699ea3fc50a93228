"""How `biplane models`, `describe model/…` and `diff` look, and what people decide about versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

from rich.markup import escape

from control.client import Client, NotFound
from control.kernel.plan import Note, PutSpec, Record, Remove
from control.kernel.store import Conflict, Object
from control.preflight import Refused
from control.registry.guard import not_retirable
from control.registry.listing import Difference, Place, differences, files_of, rows
from control.registry.nature import Nature
from control.registry.state import Gate
from control.registry.view import KINDS, OVERRIDE, RETIREMENT, known_version, rulings, uses_of
from control.specs.problem import nearest
from scripts.cli.show import age, emit, events, out, table, whole

DIGITS = 12
"""How much of a digest is shown."""


def version_of(stored: Sequence[Object], reference: str) -> Object:
    """The version that `model/X@3`, `X@3`, or `X` (its newest) names. Raises NotFound."""
    name = reference.partition("/")[2] if "/" in reference else reference
    versions = [o for o in stored if o.kind == "ModelVersion"]
    model, at, _ = name.rpartition("@")
    found = [o for o in versions if (o.name == name if at else o.spec["model"] == name)]
    if found:
        return max(found, key=lambda o: int(o.spec["version"]))
    of_model = [o.name for o in versions if at and o.spec["model"] == model]
    if of_model:
        raise NotFound(f"there is no version {name!r}; there are: {', '.join(of_model)}")
    close = nearest(name, [*(o.name for o in versions), *(o.spec["model"] for o in versions)])
    raise NotFound(f"there is no model {name!r}" + (f"; did you mean {close!r}?" if close else ""))


def listed(client: Client, model: str | None, *, json: bool) -> None:
    """The versions of every model, or of one. Raises NotFound."""
    stored = client.store.list(*KINDS)
    found = rows(stored)
    if model is not None:
        name = version_of(stored, model).spec["model"]
        found = tuple(row for row in found if row.model == name)
    if json:
        return emit({"models": [asdict(row) for row in found]})
    if not found:
        out.print("No model is registered yet.")
        return None
    return table(
        ("MODEL", "VERSION", "STAGE", "SERVES", "ACCURACY", "GATE", "AGE"),
        (
            (
                *(row.model, row.version, row.stage),
                _places(row.serves),
                _figure(row.accuracy),
                row.gate,
                age(row.registered_at),
            )
            for row in found
        ),
    )


def described(client: Client, reference: str, *, json: bool) -> None:
    """Lineage and history of a version; of a model without a version, of its newest. Raises NotFound."""
    stored = client.store.list(*KINDS)
    version = version_of(stored, reference)
    (row,) = (row for row in rows(stored) if (row.model, row.version) == _key(version))
    history = client.events(version.kind, version.name)
    if json:
        return emit({**whole(version), "row": asdict(row), "events": [asdict(event) for event in history]})
    out.print(f"[bold]model/{escape(version.name)}[/]  {row.stage}, {age(row.registered_at)} old")
    spec, lineage = version.spec, version.spec.get("lineage", {})
    facts = {
        "kind": _kind(spec.get("tags", {})),
        "why": row.reason,
        "serves": _places(row.serves),
        "refused": row.refused,
        "accuracy": _figure(row.accuracy),
        "gate": row.gate,
        "base model": row.base_model,
        "data set": row.dataset_digest,
        "workflow run": lineage.get("workflow_run", ""),
        "MLflow run": spec["run_id"],
        "weights": lineage.get("weights_sha256", ""),
        "size": f"{row.bytes:,} bytes" if row.bytes else "",
        "source": spec["source"],
        "registered by": row.registered_by,
    }
    table(("WHAT", "VALUE"), ((what, value) for what, value in facts.items() if value not in ("", "-")))
    for title in ("parameters", "metrics"):
        if spec.get(title):
            out.print(f"[bold]{title}[/]")
            table(("NAME", "VALUE"), spec[title].items())
    if files := files_of(version):
        out.print("[bold]files[/]")
        table(("NAME", "WHAT"), files.items())
    out.print("[bold]history[/]")
    return events(history, json=False)


def compared(client: Client, before: str, after: str, *, json: bool) -> None:
    """What makes two versions differ. Raises NotFound."""
    stored = client.store.list(*KINDS)
    first, second = version_of(stored, before), version_of(stored, after)
    found = tuple(differences(first, second))
    if json:
        body = {"before": first.name, "after": second.name}
        return emit({**body, "differences": [asdict(one) for one in found]})
    if not found:
        out.print(f"{escape(first.name)} and {escape(second.name)} do not differ in anything that is recorded.")
        return None
    return table(("WHAT", "NAME", first.name, second.name), (_line(one) for one in found))


def retire(client: Client, reference: str, reason: str, who: str) -> str:
    """Take a version out of use; returns its name. Raises NotFound, Refused while a deployment works with it."""

    def decided(version: Object, stored: Sequence[Object]) -> Record:
        uses = [use for use in uses_of(stored) if (use.model, use.version) == _key(version)]
        if refused := not_retirable(version.name, uses):
            raise Refused(refused)
        spec = {"by": who, "reason": reason}
        return PutSpec(kind=RETIREMENT, name=version.name, event="Retired", reason=reason, spec=spec)

    return _rule(client, reference, "RetirementAsked", decided)


def restore(client: Client, reference: str, reason: str) -> str:
    """Take a retired version back; returns its name. Raises NotFound, Refused when nobody had retired it."""

    def decided(version: Object, stored: Sequence[Object]) -> Record:
        if version.name not in rulings(stored, RETIREMENT):
            raise Refused(f"{version.name} is not retired")
        return Remove(kind=RETIREMENT, name=version.name, event="Restored", reason=reason)

    return _rule(client, reference, "RestorationAsked", decided)


def override_gate(client: Client, reference: str, reason: str, who: str) -> str:
    """Let a version take traffic whose gate failed; returns its name. Raises NotFound, Refused when it did not."""

    def decided(version: Object, stored: Sequence[Object]) -> Record:
        verdict, _ = known_version(version).gate
        if verdict is not Gate.FAILED:
            raise Refused(f"the gate of {version.name} says {verdict.value!r}: there is nothing to override")
        spec = {"by": who, "reason": reason}
        return PutSpec(kind=OVERRIDE, name=version.name, event="GateOverridden", reason=reason, spec=spec)

    return _rule(client, reference, "GateOverridden", decided)


def _rule(client: Client, reference: str, event: str, decided: Callable[[Object, Sequence[Object]], Record]) -> str:
    """Commit what a person decided, on the version as it was looked at, and tell it in the version's history."""
    while True:
        stored = client.store.list(*KINDS)
        version = version_of(stored, reference)
        record = decided(version, stored)
        told = Note(kind=version.kind, name=version.name, event=event, reason=record.reason, revision=version.revision)
        try:
            client.commit(record, told)
        except Conflict:
            continue  # it moved meanwhile: look again whether this may be done
        return version.name


def names(client: Client) -> Iterable[str]:
    """What may stand for a version on the command line."""
    for one in client.store.list("ModelVersion"):
        yield f"model/{one.name}"


def _key(version: Object) -> tuple[str, int]:
    return version.spec["model"], version.spec["version"]


def _kind(tags: Mapping[str, str]) -> str:
    """Empty of a plain model."""
    nature = Nature.read(tags)
    if nature.adapter:
        return f"LoRA adapter, rank {nature.rank}"
    return "embeds" if nature.embeds else "" if nature.chat else "completes, does not chat"


def _places(places: Iterable[Place]) -> str:
    said = (f"{p.deployment} {p.role if p.weight is None else f'{p.weight:.0%}'}" for p in places)
    return ", ".join(said) or "-"


def _figure(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{accuracy:.4f}"


def _line(one: Difference) -> tuple[str, ...]:
    short = [
        "-" if text is None else text[:DIGITS] if one.name.endswith(("digest", "sha256")) else text
        for text in (one.before, one.after)
    ]
    return one.what, one.name, *short
