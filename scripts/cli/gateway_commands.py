"""The commands about the AI gateway: `biplane gateway ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from control.client import Client
from control.gateway.view import gateways_of
from scripts.cli.app import Json, _explained, app
from scripts.cli.prices import prices as show_prices

gateway = typer.Typer(name="gateway", help="What the AI gateway asks of its clients and costs.", no_args_is_help=True)
app.add_typer(gateway)


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
