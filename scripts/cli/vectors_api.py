"""How the command line reaches a collection's rows: by the vectors API, with the administrator's key.

What that needs (Arrow, NumPy, an HTTP client) is imported when a command does: the others do without.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from control.client import Client
from control.preflight import Refused
from control.specs.problem import show
from scripts.cli.app import BAD_INPUT, FAILED, NOT_FOUND, _explained, _fail

if TYPE_CHECKING:
    from serve_apps.vectors.client import Vectors

Url = Annotated[
    str | None, typer.Option(metavar="URL", help="The gateway, where it is not this plane's: http://HOST:PORT.")
]
KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="An API key, where it is not the administrator's of this plane.")
]
FilterJson = Annotated[
    str | None,
    typer.Option("--filter", metavar="JSON", help='Only rows that match, such as \'{"year": {"$gte": 2000}}\'; @FILE.'),
]


@contextmanager
def api(url: str | None, key_file: Path | None) -> Iterator[Vectors]:
    """The client; what goes wrong with it ends the command with one message and an exit code."""
    import httpx

    from serve_apps.vectors.bulk.columns import ImportRefused
    from serve_apps.vectors.client import Vectors, VectorsError

    with _explained():
        client = Client()
        address = url or client.settings.gateway_url
        key = (key_file or client.home.api_key_file).read_text(encoding="utf-8").strip()
        try:
            with Vectors(address, key) as vectors:
                yield vectors
        except VectorsError as error:
            _fail(str(error), {400: BAD_INPUT, 404: NOT_FOUND}.get(error.status, FAILED))
        except ImportRefused as error:
            _fail(str(error), BAD_INPUT)
        except httpx.HTTPError as error:
            raise Refused(f"the vectors API at {address} does not answer: {error or type(error).__name__}") from error


def document(option: str, text: str) -> Any:
    """JSON as it is given, or with @ before it in a file. Ends the command where it is none."""
    try:
        return jsonlib.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except OSError as error:
        wrong(option, f"{error.filename}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        wrong(option, f"found {show(text)}, which is no JSON ({error})")


def filter_of(text: str | None) -> dict[str, Any] | None:
    told = None if text is None else document("--filter", text)
    if told is not None and not isinstance(told, dict):
        wrong("--filter", f"found {show(told)}; expected an object, such as '{{\"year\": 2000}}'")
    return told


def ids_of(given: list[str], kind: str) -> list[int | str]:
    """`kind` is that of the collection's ids."""
    if kind == "string":
        return list(given)
    for one in given:
        if not one.lstrip("-").isdecimal():
            wrong("ID", f"found {show(one)}; expected a whole number: the collection's ids are of type integer")
    return [int(one) for one in given]


def wrong(option: str, found: str) -> NoReturn:
    _fail(f"{option}: {found}", BAD_INPUT)
