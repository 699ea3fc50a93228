"""Guardrails: requests and answers that are refused, in the client's own API. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from control.specs.filters import GuardFilter
from control.specs.pattern import Pattern, parse_pattern
from serve_apps.gateway.filters.filter import Context, Filter, Json, Part, Rejected
from serve_apps.gateway.filters.scan import Patterns, Scan, Wanted
from serve_apps.gateway.filters.texts import texts


class Guard(Filter):
    def __init__(self, spec: GuardFilter) -> None:
        self._spec = spec
        denied = [*map(_word, spec.words), *spec.patterns]
        self._denied = Patterns([Wanted("denied", one) for one in denied]) if denied else None

    def request(self, document: Json, context: Context) -> Json:
        spec = self._spec
        for message in _objects(document, "messages"):
            if spec.roles and message.get("role") not in spec.roles:
                allowed = ", ".join(spec.roles)
                raise Rejected(f"Messages of the role {message.get('role')!r} are not allowed here: {allowed} are.")
        for name in map(_tool_name, _objects(document, "tools", "functions")):
            if name in spec.blocked_tools:
                raise Rejected(f"The tool '{name}' is not allowed here.")
        said = list(texts(document))
        length = sum(map(len, said))
        if spec.longest_prompt is not None and length > spec.longest_prompt:
            words = f"The prompt has {length} characters; at most {spec.longest_prompt} are allowed here."
            raise Rejected(words, "prompt_too_long")
        if self._denied is not None and spec.on != "response":
            for text in said:
                self._denied.replaced(text, self._refuse)
        return document

    def answer(self, part: Part, context: Context) -> Scan | None:
        return None if self._denied is None or self._spec.on == "request" else Scan(self._denied, self._refuse)

    def _refuse(self, name: str, found: str) -> str:
        raise Rejected(self._spec.message)


def _objects(document: Json, *names: str) -> Iterator[Json]:
    """What else stands there is for the model's server to refuse."""
    for name in names:
        listed = document.get(name)
        yield from (one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()


def _tool_name(tool: Json) -> object:
    """In either form that OpenAI's chat has."""
    function = tool.get("function")
    return (function if isinstance(function, dict) else tool).get("name")


def _word(word: str) -> Pattern:
    """A whole word or phrase. A boundary is one of ASCII's words: other ends stand for themselves."""
    before, after = (r"\b" if re.match(r"\w", end, re.ASCII) else "" for end in (word[0], word[-1]))
    return parse_pattern(f"(?i){before}{re.escape(word)}{after}")
