"""Redaction: what its patterns find becomes [name]; or [name-1] and so on, which the answer puts back. Pure.

Arguments of calls are redacted in requests. In answers only what was taken out is put back into them: a tool that was
called with [email] would do something else.
"""

from __future__ import annotations

import json

from control.specs.filters import RedactFilter
from control.specs.pattern import parse_pattern
from serve_apps.gateway.filters.filter import Context, Filter, Json, Part
from serve_apps.gateway.filters.presets import preset
from serve_apps.gateway.filters.scan import Patterns, Scan, Wanted
from serve_apps.gateway.filters.texts import mapped

PLACEHOLDER = "placeholder"
"""The name of a placeholder that a client itself wrote: it is taken out, too, so that the answer can put it back."""


class Redact(Filter):
    def __init__(self, spec: RedactFilter) -> None:
        self._restore = spec.restore
        wanted = [*map(preset, spec.presets), *(Wanted(one.name, one.pattern) for one in spec.patterns)]
        names = "|".join([PLACEHOLDER, *(one.name for one in wanted)])
        ours = [Wanted(PLACEHOLDER, parse_pattern(rf"\[(?:{names})-[0-9]{{1,6}}\]"))] if spec.restore else []
        self._in_request = Patterns([*ours, *wanted]) if spec.on != "response" else None
        in_answer = [*ours, *(wanted if spec.on != "request" else [])]
        self._in_answer = Patterns(in_answer) if in_answer else None
        self._ours = Patterns(ours) if ours else None

    def request(self, document: Json, context: Context) -> Json:
        patterns = self._in_request
        if patterns is None:
            return document
        taken: dict[str, str] = {}
        stands_for: dict[str, str] = {}

        def replace(name: str, found: str) -> str:
            if not self._restore:
                return f"[{name}]"
            if found not in taken:
                taken[found] = f"[{name}-{len(taken) + 1}]"
                stands_for[taken[found]] = found
            return taken[found]

        context.memory[self] = stands_for
        return mapped(document, lambda text: patterns.replaced(text, replace))

    def answer(self, part: Part, context: Context) -> Scan | None:
        stands_for: dict[str, str] = context.memory.get(self, {})

        def replace(name: str, found: str) -> str:
            return stands_for.get(found, found) if name == PLACEHOLDER else f"[{name}]"

        def replace_in_json(_: str, found: str) -> str:
            return json.dumps(stands_for.get(found, found))[1:-1]

        if part is Part.ARGUMENTS:
            return Scan(self._ours, replace_in_json) if self._ours and stands_for else None
        return Scan(self._in_answer, replace) if self._in_answer else None
