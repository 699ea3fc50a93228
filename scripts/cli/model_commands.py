"""The commands about models and their versions."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from control.client import Client
from control.preflight import Refused
from control.services import mlflow_answers
from scripts.cli import models, show
from scripts.cli.app import BAD_INPUT, Json, _explained, _fail, app
from scripts.cli.import_model import Imported, NotServable, check_kind, checked, import_model, prepared


def complete(incomplete: str) -> list[str]:
    """Versions that begin so; none where there is no plane."""
    client = Client()
    return [name for name in models.names(client) if name.startswith(incomplete)] if client.exists else []


Version = Annotated[
    str, typer.Argument(metavar="model/NAME@VERSION", help="For example model/chat@3.", autocompletion=complete)
]
Why = Annotated[str, typer.Option(help="Why: it is kept in the version's history.")]


@app.command(name="models")
def list_models(
    model: Annotated[
        str | None, typer.Argument(metavar="[model/NAME]", help="Only this one.", autocompletion=complete)
    ] = None,
    json: Json = False,
) -> None:
    """Models and versions: stage, where each serves, accuracy, gate, age. Example: biplane models"""
    with _explained():
        models.listed(Client(), model, json=json)


@app.command()
def diff(before: Version, after: Version, json: Json = False) -> None:
    """What makes two versions differ. Example: biplane diff model/chat@3 model/chat@4"""
    with _explained():
        models.compared(Client(), before, after, json=json)


@app.command()
def retire(version: Version, reason: Why, json: Json = False) -> None:
    """Take a version out of use. Example: biplane retire model/chat@3 --reason "it leaks names" """
    with _explained():
        name = models.retire(Client(), version, reason, getpass.getuser())
    show.done(f"{name} is retired; biplane restore model/{name} takes it back", json=json)


@app.command()
def restore(version: Version, reason: Why = "taken back", json: Json = False) -> None:
    """Take a retired version back. Example: biplane restore model/chat@3"""
    with _explained():
        name = models.restore(Client(), version, reason)
    show.done(f"{name} may be deployed again", json=json)


@app.command(name="override-gate")
def override_gate(version: Version, reason: Why, json: Json = False) -> None:
    """Let a version take traffic that failed its gate. Example: biplane override-gate model/chat@3 --reason drill"""
    with _explained():
        name = models.override_gate(Client(), version, reason, getpass.getuser())
    show.done(f"{name} may take traffic although its gate failed", json=json)


@app.command(name="import-model")
def import_a_model(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|HUB-ID", help="A Hugging Face directory of a model or of a LoRA adapter, or owner/name."
        ),
    ],
    name: Annotated[str, typer.Option(help="The model that it becomes a version of.")],
    chat_template: Annotated[
        Path | None, typer.Option(help="Take this chat template (Jinja).", metavar="FILE", dir_okay=False)
    ] = None,
    no_chat: Annotated[
        bool, typer.Option("--no-chat", help="It only completes; chat completions of it are refused.")
    ] = False,
    json: Json = False,
) -> None:
    """Register a Hugging Face model or LoRA adapter as a version. Example: biplane import-model ./llama --name chat"""
    try:
        with _explained(), prepared(source, chat_template) as directory:
            _named(name)
            listing = checked(directory, chat=not no_chat)
            client = Client()
            check_kind(listing, name, client.store.list("ModelVersion"))
            settings = client.settings
            if not mlflow_answers(settings):
                raise Refused(f"MLflow does not answer at {settings.mlflow_url}; bring it back with: biplane up")
            os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "1")  # else it writes into our answer
            from mlflow import MlflowClient  # a second that a refusal does without
            from mlflow.exceptions import MlflowException

            try:
                imported = import_model(
                    MlflowClient(settings.mlflow_url, settings.mlflow_url), directory, name, source, listing
                )
            except MlflowException as error:
                raise Refused(f"MLflow did not take it: {error}") from error
    except NotServable as error:
        _fail(str(error), BAD_INPUT)
    _tell(imported, json=json)


def _named(name: str) -> None:
    if not name or not all(one.isalnum() or one in "-_." for one in name):
        raise NotServable(f"the name is {name!r}; expected letters, digits, '-', '_' and '.'")


def _tell(done: Imported, *, json: bool) -> None:
    if json:
        return show.emit(vars(done))
    became = "is" if done.new else "was registered before as"
    show.out.print(f"{done.files} files, {done.bytes:,} bytes: {became} model/{done.model}@{done.version}")
    if done.left_out:
        show.out.print(f"Left out: {', '.join(done.left_out)}", markup=False)
    return None
