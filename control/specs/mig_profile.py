"""Names of MIG profiles: `3g.40gb` is three compute slices and 40 GB of a device; `+me` has its media engines."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from control.specs.problem import nearest, refuse, show

_FORM = re.compile(r"([1-7]c\.)?[1-7]g\.[0-9]{1,3}gb(\+me(\.all)?|\+gfx|-me)?")
USUAL = (
    *("1g.6gb", "2g.12gb", "4g.24gb"),  # A30
    *("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),  # A100 40 GB
    *("1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),  # A100 and H100 80 GB
    *("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),  # H200
)
"""Only what to suggest: which profiles a device has is known where its model is."""


def _is_profile(name: str) -> str:
    if not _FORM.fullmatch(name):
        raise refuse(f"found {show(name)}", "a MIG profile such as 1g.10gb or 3g.40gb", nearest=nearest(name, USUAL))
    return name


Profile = Annotated[str, AfterValidator(_is_profile)]
