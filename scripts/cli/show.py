"""How results look: tables and sentences for people, one JSON object for programs."""

from __future__ import annotations

import json as jsonlib
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from control.client import Result, Settled, Status
from control.explain import Finding
from control.kernel.database import shown
from control.kernel.home import Home
from control.kernel.store import Event, Object

if TYPE_CHECKING:
    from control.plane import Up

REASON_SECONDS = 10.0
WIDE = 220
"""Columns where the output is no terminal: a log or a pipe has no edge to wrap at."""
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
progress = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(body: Any) -> None:
    """One JSON object on one line of standard output."""
    print(jsonlib.dumps(body, default=str))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(str(cell)) for cell in row))
    out.print(drawn)


def up(came_up: Up, home: Home, *, json: bool) -> None:
    urls = came_up.settings.urls
    if json:
        return emit(
            {
                "home": str(home.path),
                "store": shown(home.store_url),
                "urls": urls,
                "started": came_up.started,
                "api_key_file": str(home.api_key_file),
            }
        )
    out.print(f"The plane is up{'' if came_up.started else ' (nothing had to be started)'}.")
    table(("WHAT", "WHERE"), (*urls.items(), ("state", home.path), ("store", shown(home.store_url))))
    if came_up.new_api_key:
        out.print(f"API key (shown once; kept for you in {home.api_key_file}): {came_up.new_api_key}")
    return None


def down(ended: int, *, json: bool) -> None:
    if json:
        return emit({"ended_processes": ended})
    out.print(f"Ended {ended} processes." if ended else "Nothing was running.")
    return None


def done(sentence: str, *, json: bool) -> None:
    if json:
        return emit({"done": sentence})
    out.print(escape(sentence))
    return None


def environment(found: Mapping[str, str], *, json: bool) -> None:
    if json:
        return emit(found)
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")
    return None


def status(found: Status, *, json: bool) -> None:
    if json:
        return emit(
            {
                "home": found.home,
                "store": found.store,
                "urls": found.urls,
                "silent": found.silent,
                "actors": [asdict(beat) for beat in found.heartbeats],
                "objects": [_summary(o) for o in found.objects],
            }
        )
    table(("WHAT", "WHERE"), (*found.urls.items(), ("state", found.home), ("store", found.store)))
    out.print()
    table(
        ("CONTROL ACTOR", "LAST SIGN OF LIFE", "LAST PASS (ms)"),
        (
            (
                beat.actor,
                age(beat.at) + (" [silent]" if beat.actor in found.silent else ""),
                " ".join(f"{phase} {beat.body[phase] * 1000:.1f}" for phase in ("observe", "decide", "record", "act")),
            )
            for beat in found.heartbeats
        ),
    )
    out.print()
    objects([o for o in found.objects if o.kind in ("Node", "Run", "Deployment", "Collection", "Workload")], json=False)
    return None


def objects(found: Iterable[Object], *, json: bool) -> None:
    found = tuple(found)
    if json:
        return emit({"objects": [whole(o) for o in found]})
    if not found:
        out.print("None.")
        return None
    return table(
        ("KIND", "NAME", "GENERATION", "PHASE", "AGE", "WHY"),
        (
            (
                o.kind,
                o.name,
                o.generation,
                o.status.get("phase", "-"),
                age(o.created_at),
                o.status.get("reason", "-"),
            )
            for o in found
        ),
    )


def description(found: Object, history: Iterable[Event], *, json: bool) -> None:
    if json:
        return emit({**whole(found), "events": [asdict(event) for event in history]})
    out.print(f"[bold]{found.kind}/{found.name}[/]  generation {found.generation}, {age(found.created_at)} old")
    for title, body in (("spec", found.spec), ("status", found.status)):
        out.print(f"[bold]{title}[/]")
        out.print(escape(jsonlib.dumps(body, indent=2)))
    out.print("[bold]events[/]")
    return events(history, json=False)


def events(found: Iterable[Event], *, json: bool) -> None:
    if json:
        for one in found:
            emit(asdict(one))
        return
    for one in found:
        out.print(_line(one))


def event(one: Event) -> None:
    """Progress: one event on standard error."""
    progress.print(_line(one))


@contextmanager
def following() -> Iterator[Callable[[str], None]]:
    """Shows what is waited for: on a terminal in one line that changes, else a line every REASON_SECONDS at most."""
    if progress.is_terminal:
        with progress.status("waiting") as line:
            yield lambda reason: line.update(escape(reason))
        return
    last = time.monotonic()

    def tell(reason: str) -> None:
        nonlocal last
        if time.monotonic() - last >= REASON_SECONDS:
            last = time.monotonic()
            progress.print(escape(reason))

    yield tell


def applied(result: Result, *, dry_run: bool, json: bool) -> None:
    if json:
        return emit(
            {
                "dry_run": dry_run,
                "applied": [asdict(one) for one in result.applied],
                "warnings": [str(warning) for warning in result.warnings],
                "previews": [asdict(one) for one in result.previews] if dry_run else [],
            }
        )
    for warning in result.warnings:
        progress.print(f"[yellow]warning[/] {escape(str(warning))}")
    for one, would in zip(result.applied, result.previews, strict=True):
        out.print(f"{escape(one.kind)}/{escape(one.name)} {one.outcome}{' (dry run)' if dry_run else ''}")
        if dry_run:
            table(
                ("WOULD", "NAME", "HOW"),
                ((line.part, line.name, "; ".join(line.facts)) for line in would.lines),
            )
            out.print()
            table(
                ("LINE", "FIELD", "VALUE", "USE"),
                (
                    (
                        use.line,
                        use.path,
                        use.value,
                        ("acted on" if use.acted else f"waits for the {use.waits_for} issue")
                        + (f" ({use.note})" if use.note else ""),
                    )
                    for use in would.fields
                ),
            )
            out.print()
    return None


def deleted(kind: str, name: str, *, dry_run: bool, json: bool) -> None:
    if json:
        return emit({"dry_run": dry_run, "kind": kind, "name": name})
    out.print(f"{kind}/{name} {'would be deleted' if dry_run else 'deleted'}")
    return None


def rerun(run: str, *, json: bool) -> None:
    if json:
        return emit({"run": run})
    out.print(f"Run {run} starts; follow it with: biplane wait run/{run}")
    return None


def settled(found: Settled, *, json: bool) -> None:
    if json:
        return emit({**whole(found.object), "well": found.well})
    o = found.object
    out.print(f"{o.kind}/{o.name} {o.status['phase']}: {escape(o.status['reason'])}")
    return None


def findings(found: Iterable[Finding], *, json: bool) -> None:
    if json:
        return emit({"findings": [asdict(one) for one in found]})
    for one in found:
        about = f"[bold]{escape(one.about)}[/] {one.phase}: " if one.about else ""
        out.print(f"{'  ' * one.depth}{about}{escape(one.reason)}")
    return None


def whole(o: Object) -> dict[str, Any]:
    return {**_summary(o), "spec": o.spec, "status": o.status}


def _summary(o: Object) -> dict[str, Any]:
    return {
        "kind": o.kind,
        "name": o.name,
        "generation": o.generation,
        "phase": o.status.get("phase"),
        "reason": o.status.get("reason"),
        "created_at": o.created_at,
    }


def _line(one: Event) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(one.at))
    what = escape(f"{one.kind}/{one.name}")
    return f"[dim]{when}[/] {what} [bold]{one.event}[/] {escape(one.reason)} [dim]({escape(one.who)})[/]"


def age(since: float) -> str:
    """How long ago, in the largest unit that is not zero."""
    seconds = max(0, int(time.time() - since))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
