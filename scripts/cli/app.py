"""The commands of `biplane`. Each prints for people, or with --json one object for programs on standard output.

Exit codes: 0 done; 1 it failed; 2 the input is wrong, nothing was changed; 3 no such object; 4 no plane here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from control.client import Client, NoPlane, NotDeletable, NotFound, kind_of
from control.kernel.database import InvalidStoreUrl, StoreError
from control.kernel.home import STORE_PASSWORD_VARIABLE, STORE_VARIABLE, Home
from control.preflight import Refused
from control.router.rollout_state import Action
from control.scheduler.discipline import Discipline
from control.specs.document import Document
from control.specs.load import load_file
from control.specs.problem import SpecError
from control.spending import explained
from scripts.cli import models, show
from scripts.cli.cluster import declared_cluster
from scripts.cli.gpus import occupancy as show_gpus
from scripts.cli.health import health as show_health
from scripts.cli.top import top

FAILED, BAD_INPUT, NOT_FOUND, NO_PLANE = 1, 2, 3, 4

app = typer.Typer(
    name="biplane",
    help="One control plane for models, GPUs, pipelines and traffic on a Ray cluster.\n\n"
    "Example: biplane up && biplane apply -f examples/finetune.yaml && biplane explain workflow/status-codes",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Let a change take the place of a roll-out that goes on.")]
Drain = Annotated[
    bool,
    typer.Option(
        "--drain",
        help="Delete a deployment although it serves: no new request comes to it, those that have begun are answered, "
        "then its applications are ended and its devices given back.",
    ),
]
Reference = Annotated[str, typer.Argument(metavar="KIND/NAME", help="For example deployment/status-codes.")]
Held = Annotated[str, typer.Argument(metavar="NODE|DEVICE", help="A node's name or a device's UUID.")]
Reason = Annotated[str, typer.Option(help="Why, for those who ask with `biplane explain`.")]
Files = Annotated[
    list[Path], typer.Option("--file", "-f", help="A YAML file; may be given more than once.", metavar="FILE")
]


@app.command()
def up(
    cluster: Annotated[
        Path | None, typer.Option("--cluster", "-c", help="A file with a Cluster document.", metavar="FILE")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            envvar=STORE_VARIABLE,
            show_envvar=True,
            help="Keep goals and statuses here from now on: sqlite:////PATH or postgresql://USER@HOST:PORT/DATABASE; "
            f"the password from {STORE_PASSWORD_VARIABLE}. Without it, in the state directory.",
            metavar="URL",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Start the plane here, or bring back what is missing of it. Example: biplane up"""
    home = Home.find()
    os.environ.update(home.environment)
    # Importing the plane imports Ray, which the other commands do without.
    from control.plane import up as start

    with _explained():
        declared = declared_cluster(cluster)
        came_up = start(home, declared, lambda part: errors.print(f"[dim]starting[/] {part}"), store)
    show.up(came_up, home, json=json)


@app.command()
def down(json: Json = False) -> None:
    """End every process of the plane; models, runs and goals stay. Example: biplane down"""
    from control.kernel.recover import end_plane

    show.down(end_plane(Home.find().plane_id), json=json)


@app.command()
def env(json: Json = False) -> None:
    """What Ray's own tools need to reach the plane. Example: eval "$(biplane env)" && ray job list"""
    with _explained():
        show.environment(Client().environment(), json=json)


@app.command()
def status(json: Json = False) -> None:
    """How the plane is: URLs, control actors, what runs. Example: biplane status --json"""
    with _explained():
        found = Client().status()
    show.status(found, json=json)
    if found.silent:
        raise typer.Exit(FAILED)


@app.command()
def apply(file: Files, dry_run: DryRun = False, force: Force = False, json: Json = False) -> None:
    """Make the documents of a file what is wanted, all or none. Example: biplane apply -f examples/finetune.yaml"""
    with _explained():
        documents: list[Document] = []
        for path in file:
            documents += load_file(path)
        result = Client().apply(documents, dry_run=dry_run, force=force)
    show.applied(result, dry_run=dry_run, json=json)


@app.command()
def get(
    kind: Annotated[str, typer.Argument(metavar="KIND[/NAME]", help="For example runs, or run/status-codes-1.")],
    json: Json = False,
) -> None:
    """List the objects of a kind. Example: biplane get deployments"""
    with _explained():
        word, _, name = kind.partition("/")
        objects = Client().get(kind_of(word), name or None)
    show.objects(objects, json=json)


@app.command()
def describe(reference: Reference, json: Json = False) -> None:
    """Everything about one object: spec, status, events. Example: biplane describe run/status-codes-1"""
    with _explained():
        kind, name = _reference(reference)
        client = Client()
        if kind == "ModelVersion":
            models.described(client, name, json=json)
            return
        (found,) = client.get(kind, name)
        history = client.events(kind, name)
    show.description(found, history, json=json)


@app.command()
def delete(reference: Reference, drain: Drain = False, dry_run: DryRun = False, json: Json = False) -> None:
    """Want an object no more; what it started is ended. Example: biplane delete deployment/status-codes --drain"""
    with _explained():
        kind, name = _reference(reference)
        Client().delete(kind, name, dry_run=dry_run, drain=drain)
    show.deleted(kind, name, dry_run=dry_run, json=json)


@app.command()
def rerun(workflow: Annotated[str, typer.Argument(help="The workflow's name.")], json: Json = False) -> None:
    """Run a workflow again from its first step. Example: biplane rerun status-codes"""
    with _explained():
        run = Client().rerun(workflow.removeprefix("workflow/"))
    show.rerun(run, json=json)


@app.command()
def wait(
    reference: Reference,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 3600.0,
    json: Json = False,
) -> None:
    """Follow what was applied until it is settled. Example: biplane wait workflow/status-codes"""
    with _explained():
        kind, name = _reference(reference)
        with show.following() as reason:
            settled = Client().wait(kind, name, timeout=timeout, on_event=show.event, on_reason=reason)
    show.settled(settled, json=json)
    if not settled.well:
        raise typer.Exit(FAILED)


@app.command()
def events(
    reference: Annotated[
        str | None, typer.Argument(metavar="[KIND/NAME]", help="Only the events of this object.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest ones.", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing new events.")] = False,
    json: Json = False,
) -> None:
    """What happened, who did it and why. Example: biplane events run/status-codes-1"""
    with _explained():
        kind, name = _reference(reference) if reference else (None, None)
        client = Client()
        found = client.events(kind, name, limit=limit)
        show.events(found, json=json)
        if follow:
            for one in client.follow(kind, name, after=found[-1].seq if found else 0):
                show.events((one,), json=json)


@app.command()
def explain(reference: Reference, json: Json = False) -> None:
    """Why an object waits, runs or was refused. Example: biplane explain workflow/status-codes"""
    with _explained():
        kind, name = _reference(reference)
        findings = explained(Client(), kind, name, time.time())
    show.findings(findings, json=json)


@app.command()
def gpus(json: Json = False) -> None:
    """Nodes, devices, MIG slices and who holds them. Example: biplane gpus"""
    with _explained():
        found = Client().occupancy()
    show_gpus(found, json=json)


@app.command()
def health(json: Json = False) -> None:
    """Whether all is as it should be: control plane, backlog, servers, devices, latency. Example: biplane health

    Ends with 1 when something is wrong.
    """
    with _explained():
        found = Client().health()
    show_health(found, json=json)
    if found.problems:
        raise typer.Exit(FAILED)


@app.command()
def rollout(
    action: Annotated[Action, typer.Argument(help="What is asked of the roll-out that goes on.")],
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="For example status-codes.")],
    json: Json = False,
) -> None:
    """Promote, pause, resume or abort a deployment's roll-out. Example: biplane rollout abort status-codes

    A version that is aborted is not tried again until the deployment is changed. `biplane explain` shows the answer.
    """
    with _explained():
        Client().ask_rollout(deployment.removeprefix("deployment/"), action)
    show.done(f"{action.value} asked of the roll-out of {deployment}", json=json)


@app.command()
def cordon(name: Held, reason: Reason = "by hand", json: Json = False) -> None:
    """Place nothing new on a node or device. Example: biplane cordon node-3 --reason fan"""
    with _explained():
        Client().cordon(name, reason)
    show.done(f"{name} takes nothing new", json=json)


@app.command()
def drain(name: Held, reason: Reason = "by hand", json: Json = False) -> None:
    """Cordon a node and have those who are there leave, with their grace. Example: biplane drain node-3"""
    with _explained():
        Client().cordon(name, reason, drain=True)
    show.done(f"{name} is drained; see: biplane gpus", json=json)


@app.command()
def uncordon(name: Held, json: Json = False) -> None:
    """Let a node or device take work again. Example: biplane uncordon node-3"""
    with _explained():
        Client().uncordon(name)
    show.done(f"{name} takes work again", json=json)


@app.command()
def simulate(
    trace: Annotated[Path | None, typer.Option(help="Jobs: .jsonl, .csv or Philly's .trace.", metavar="FILE")] = None,
    cluster: Annotated[Path | None, typer.Option(help="Nodes: a Cluster, or openb's .csv.", metavar="FILE")] = None,
    rules: Annotated[Path | None, typer.Option(help="ClusterPolicy, Queue, ConfigMap documents.")] = None,
    compress: Annotated[float, typer.Option(help="Let the jobs arrive so many times as fast.", min=0.001)] = 1.0,
    policy: Annotated[Discipline, typer.Option(help="Ours, or what it is compared with.")] = Discipline.BIPLANE,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG) of the course.", metavar="FILE")] = None,
    replay: Annotated[Path | None, typer.Option(help="Decide again what the live scheduler decided.")] = None,
    json: Json = False,
) -> None:
    """Try the scheduler on a trace.

    Example: biplane simulate --trace examples/trace.csv --cluster examples/cluster.gpus.yaml
    """
    from scripts.cli import simulate as simulation

    with _explained():
        if replay is not None:
            simulation.replay(replay, json=json)
        elif trace is None or cluster is None:
            raise Refused("--trace and --cluster are needed, or --replay")
        else:
            simulation.run(trace, cluster, rules, compress, policy, plot, json)


def main() -> None:
    """Run the command line."""
    app()


def _reference(text: str) -> tuple[str, str]:
    kind, slash, name = text.partition("/")
    if not slash or not name:
        raise NotFound(f"found {text!r}; expected KIND/NAME, for example deployment/status-codes")
    return kind_of(kind), name


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what can go wrong into one message and an exit code."""
    try:
        yield
    except (SpecError, InvalidStoreUrl) as error:
        _fail(str(error), BAD_INPUT)
    except (Refused, StoreError, TimeoutError) as error:  # before OSError, of which TimeoutError is one
        _fail(str(error), FAILED)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), BAD_INPUT)
    except (NotFound, NotDeletable) as error:
        _fail(str(error), NOT_FOUND)
    except NoPlane as error:
        _fail(str(error), NO_PLANE)


def _fail(message: str, code: int) -> NoReturn:
    errors.print(message, markup=False, style="red" if sys.stderr.isatty() else None)
    raise typer.Exit(code)


app.command()(_explained()(top))
