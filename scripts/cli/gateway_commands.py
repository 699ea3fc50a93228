"""The commands about the AI gateway: `biplane gateway …`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from control import api_keys, spending
from control.client import Client
from control.gateway.usage import By, totals
from control.gateway.view import gateways_of
from control.specs.api_key import Dollars, Grant, KeyLimits, ModelPattern, Priority
from control.specs.base import Name
from control.specs.quantity import Seconds
from scripts.cli import gateway_top
from scripts.cli import keys as show_keys
from scripts.cli import spending as show_spending
from scripts.cli.app import BAD_INPUT, DryRun, Json, _explained, _fail, app
from scripts.cli.prices import prices as show_prices
from scripts.cli.top import Once, Watch, watched

gateway = typer.Typer(
    name="gateway",
    help="The AI gateway: who may call, and what it costs. Example: biplane gateway keys list",
    no_args_is_help=True,
)
keys = typer.Typer(
    name="keys",
    help="API keys: made, rotated, revoked, listed. Example: biplane gateway keys create alice --organization lab",
    no_args_is_help=True,
)
gateway.add_typer(keys)
app.add_typer(gateway)


def _of(form: Any) -> Callable[[str], Any]:
    """A parser of what a spec's field of this form takes."""

    def parse(text: str) -> Any:
        try:
            return TypeAdapter(form).validate_python(text)
        except ValidationError as error:
            raise typer.BadParameter(error.errors()[0]["msg"]) from None

    return parse


KeyName = Annotated[str, typer.Argument(metavar="NAME", parser=_of(Name), help="The key's, for example alice.")]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        help="Write the secret here, for its owner alone, and do not show it.", metavar="FILE", dir_okay=False
    ),
]
Reason = Annotated[str, typer.Option(help="Why: it is kept in the key's history.")]


@keys.command()
def create(
    name: KeyName,
    organization: Annotated[
        str, typer.Option(parser=_of(Name), metavar="NAME", help="Whose it is: limits and costs are summed up by it.")
    ] = "default",
    route: Annotated[
        list[str] | None,
        typer.Option(parser=_of(Name), metavar="ROUTE", help="Only these routes; may be given more than once."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            parser=_of(ModelPattern), metavar="MODEL", help="Only these models, or those that begin so: 'gpt-4*'."
        ),
    ] = None,
    expires: Annotated[
        float | None, typer.Option(parser=_of(Seconds), metavar="DURATION", help="Good for so long: 30d, 12h.")
    ] = None,
    priority: Annotated[Priority, typer.Option(help="Who waits when there is too much to do.")] = "normal",
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1, help="At most so many, in and out.")] = None,
    cost_per_day: Annotated[
        float | None, typer.Option(parser=_of(Dollars), metavar="DOLLARS", help="At most so much a UTC day.")
    ] = None,
    secret_file: SecretFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a key. Example: biplane gateway keys create alice --model 'gpt-4*' --expires 30d"""
    now = time.time()
    with _explained():
        try:
            grant = Grant(
                organization=organization,
                routes=tuple(route or ()),
                models=tuple(model or ()),
                expires_at=None if expires is None else now + expires,
                priority=priority,
                limits=KeyLimits(
                    requests_per_minute=requests_per_minute,
                    tokens_per_minute=tokens_per_minute,
                    cost_per_day=cost_per_day,
                ),
            )
            made = api_keys.create(Client(), name, grant, now=now, file=secret_file, dry_run=dry_run)
        except ValueError as error:
            _fail(str(error), BAD_INPUT)
    show_keys.issued(made, "created", secret_file, dry_run=dry_run, json=json)


@keys.command(name="list")
def list_keys(json: Json = False) -> None:
    """All keys, revoked ones too; no secrets. Example: biplane gateway keys list"""
    with _explained():
        found = api_keys.known_keys(Client())
    show_keys.listed(found, json=json)


@keys.command()
def rotate(
    name: KeyName,
    grace: Annotated[
        float, typer.Option(parser=_of(Seconds), metavar="DURATION", help="The former secret is good for so long: 1h.")
    ] = 0.0,
    reason: Reason = "asked for",
    secret_file: SecretFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Give a key another secret. Example: biplane gateway keys rotate alice --grace 1h"""
    with _explained():
        now = time.time()
        made = api_keys.rotate(Client(), name, now=now, reason=reason, grace_s=grace, file=secret_file, dry_run=dry_run)
    show_keys.issued(made, "rotated", secret_file, dry_run=dry_run, json=json)


@keys.command()
def revoke(
    name: KeyName,
    reason: Reason = "asked for",
    force: Annotated[bool, typer.Option("--force", help="Although it is the last one that is good.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """End a key at once. Example: biplane gateway keys revoke alice --reason "it was in a log" """
    with _explained():
        key = api_keys.revoke(Client(), name, now=time.time(), reason=reason, force=force, dry_run=dry_run)
    show_keys.revoked(name, key, dry_run=dry_run, json=json)


@gateway.command()
def prices(
    everything: Annotated[
        bool, typer.Option("--all", help="The list that comes with Biplane too; needs no plane.")
    ] = False,
    json: Json = False,
) -> None:
    """What the models cost that gateway documents route to. Example: biplane gateway prices --all"""
    with _explained():
        client = Client()
        stored = client.get("Gateway") if client.exists or not everything else ()
    show_prices(tuple(gateways_of(stored)), whole=everything, json=json)


@gateway.command()
def usage(
    by: Annotated[By, typer.Option(help="What is summed up by.")] = By.KEY,
    since: Annotated[
        float, typer.Option(parser=_of(Seconds), metavar="DURATION", help="From the day on that was so long ago: 7d.")
    ] = 7 * 86400.0,
    json: Json = False,
) -> None:
    """What was used and what it cost, by whole days of UTC. Example: biplane gateway usage --by model --since 1d"""
    with _explained():
        found = spending.used(Client(), since, time.time())
    show_spending.usage(totals(found, by), by, json=json)


@gateway.command()
def budgets(json: Json = False) -> None:
    """What is spent, reserved and left of limits and budgets. Example: biplane gateway budgets

    Of keys and organizations those are shown that used something of what a document allows.
    """
    with _explained():
        now = time.time()
        found = spending.budgets(Client(), now)
    show_spending.budgets(found, now, json=json)


@gateway.command()
def top(watch: Watch = 1.0, once: Once = False, json: Json = False) -> None:
    """What routes and backends do now: rates, cost, latencies, health. Example: biplane gateway top --once

    Times are in milliseconds, of what came in the last seconds; ends with Ctrl-C.
    """
    with _explained():
        watched(watch, gateway_top.told, gateway_top.drawn, once, json)
