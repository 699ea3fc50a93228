"""`restore:` of a Collection: the snapshot that its rows come from at first."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from control.specs.base import Spec
from control.specs.problem import refuse, show

_URL = re.compile(r"[a-z][a-z0-9+.-]*:(?P<rest>.*)", re.DOTALL)
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _is_url(text: str) -> str:
    match = _URL.fullmatch(text)
    if match is None:
        raise refuse(f"found {show(text)}", "a URL, such as s3://bucket/path or file:///path")
    authority = match["rest"].removeprefix("//").partition("/")[0]
    if "@" in authority:
        raise refuse("a URL with a user or a password", "neither: they come from the environment of the plane")
    if text.startswith("file:") and not match["rest"].startswith("/"):
        raise refuse(f"found {show(text)}", "an absolute path, as in file:///path")
    return text


def _is_digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise refuse(f"found {show(text)}", "the 64 hexadecimal digits that `biplane vectors snapshot` shows")
    return text


SnapshotUrl = Annotated[str, AfterValidator(_is_url)]
"""Where fsspec finds files."""


class RestoreSpec(Spec):
    """The snapshot at `url`. `sha256` is its digest: every replica begins with the very same rows, or with none."""

    url: SnapshotUrl
    sha256: Annotated[str, AfterValidator(_is_digest)]
