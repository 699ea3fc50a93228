"""`biplane judge`: what a judge thinks of a version's answers goes into its roll-out."""

from __future__ import annotations

from typing import Annotated

import typer

from control import judging
from control.client import Client
from scripts.cli import show
from scripts.cli.app import BAD_INPUT, Json, _explained, _fail, app


@app.command()
def judge(
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="For example support.")],
    scores: Annotated[list[str], typer.Argument(metavar="JUDGE=SCORE...", help="For example faithful=0.9; 0 to 1.")],
    version: Annotated[int, typer.Option(min=1, help="Whose answers: x-biplane-version of the answer says it.")],
    json: Json = False,
) -> None:
    """Score answers of a version. Example: biplane judge support --version 2 faithful=0.9 faithful=0.4

    Roll-outs whose analysis names the judge compare its scores of both versions.
    """
    given: dict[str, list[float]] = {}
    for text in scores:
        name, _, score = text.partition("=")
        try:
            given.setdefault(name, []).append(float(score))
        except ValueError:
            _fail(f"{text}: expected a judge's name and a score, such as faithful=0.9", BAD_INPUT)
    with _explained():
        try:
            judging.judge(Client(), deployment.removeprefix("deployment/"), version, given)
        except ValueError as error:
            _fail(str(error), BAD_INPUT)
    show.done(f"{len(scores)} score(s) for version {version} of {deployment}", json=json)
