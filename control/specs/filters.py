"""`filters:` of a gateway's route: what is changed or refused in its requests and answers, in this order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, JsonValue, Tag, TypeAdapter, model_validator

from control.specs.base import Filled, Items, Name, Spec, Text, named_once
from control.specs.pattern import Pattern, PatternText
from control.specs.problem import Loc, nearest, one_of, refuse, show
from control.specs.provider import Secret

On = Literal["request", "response", "both"]
PRESETS = ("email", "credit-card", "phone", "us-ssn", "iban", "ipv4", "ipv6", "api-key")
MOST_HELD = 1024
"""Characters of an answer that may wait for the next piece of a stream, to see whether a pattern goes on in it."""
UNTOUCHED = frozenset({
    "authorization", "connection", "content-encoding", "content-length", "content-type", "host", "keep-alive",
    "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "x-api-key",
    "x-request-id",
})  # fmt: skip
"""Headers that belong to the connection, to the provider's key or to the gateway itself."""


def _is_preset(name: str) -> str:
    if name not in PRESETS:
        raise refuse(f"unknown preset '{name}'", one_of(PRESETS), nearest=nearest(name, PRESETS))
    return name


def _is_header(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        raise refuse(f"found {show(name)}", "the name of a header")
    if name.lower() in UNTOUCHED:
        raise refuse(f"the header '{name}' is the gateway's own to set", "another one")
    return name.lower()


def _is_header_value(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value):
        raise refuse(f"found {show(value)}", "printable ASCII on one line")
    return value


def _is_class(path: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", path):
        raise refuse(f"found {show(path)}", "a class such as acme.filters:Shout")
    return path


def _end_in_answers(on: On, patterns: Iterable[tuple[Loc, Pattern]]) -> None:
    """A stream cannot wait forever for the end of what is looked for in it."""
    for at, pattern in patterns:
        if on != "request" and (pattern.most is None or pattern.most > MOST_HELD):
            size = "any length" if pattern.most is None else f"{pattern.most} characters"
            found = f"pattern {show(pattern.text)} may have {size}, in an answer that streams"
            expected = f"one of at most {MOST_HELD} characters, such as with {{1,64}} in place of +"
            raise refuse(found, expected, at=at)


HeaderName = Annotated[str, AfterValidator(_is_header)]
HeaderValue = Annotated[
    Annotated[Text, AfterValidator(_is_header_value), Tag("[Text]")] | Annotated[Secret, Tag("[Secret]")],
    Discriminator(lambda value: "[Secret]" if isinstance(value, dict | Secret) else "[Text]"),
]


class NamedPattern(Spec):
    """What matches `pattern` becomes [name]."""

    name: Name
    pattern: PatternText


class RedactFilter(Spec):
    """Replaces what its presets and patterns find by [name]; with `restore` by [name-1] and so on in the request, which
    become in the answer what they stand for.
    """

    type: Literal["redact"]
    presets: Items[Annotated[str, AfterValidator(_is_preset)]] = ()
    patterns: Annotated[Items[NamedPattern], named_once("pattern")] = ()
    on: On = "both"
    restore: bool = False

    @model_validator(mode="after")
    def _finds_something(self) -> Self:
        if not self.presets and not self.patterns:
            raise refuse("neither presets nor patterns", "at least one of them")
        for index, one in enumerate(self.patterns):
            if one.name in self.presets:
                raise refuse(f"'{one.name}' is a preset here, too", "every name once", at=("patterns", index, "name"))
        if self.restore and self.on == "response":
            raise refuse(
                "nothing is taken from requests that could be restored", "on: request or both", at=("restore",)
            )
        return self
        _end_in_answers(
            self.on, ((("patterns", index, "pattern"), one.pattern) for index, one in enumerate(self.patterns))
        )
        return self


class HeaderChanges(Spec):
    set: dict[HeaderName, HeaderValue] = Field(default={})
    remove: Items[HeaderName] = ()


class HeadersFilter(Spec):
    """Headers of the request as the backend gets it, and of the answer as the client does."""

    type: Literal["headers"]
    request: HeaderChanges = HeaderChanges()
    answer: HeaderChanges = HeaderChanges()

    @model_validator(mode="after")
    def _keeps_secrets(self) -> Self:
        for name, value in self.answer.set.items():
            if isinstance(value, Secret):
                raise refuse("a secret would be told to every client", "plain text", at=("answer", "set", name))
        return self


class SystemText(Spec):
    """What becomes of the system prompt: `replace` takes its place, the others stand around it."""

    prepend: Filled | None = None
    append: Filled | None = None
    replace: Filled | None = None


class TemplateFilter(Spec):
    """In all texts {user}, {organization} and {model} stand for those of the request. In `user` {prompt} is the last
    message of the user, which it takes the place of. Other braces stay as they are.
    """

    type: Literal["template"]
    system: SystemText = SystemText()
    user: Filled | None = None

    @model_validator(mode="after")
    def _keeps_the_prompt(self) -> Self:
        if self.user is not None and "{prompt}" not in self.user:
            raise refuse(f"found {show(self.user)}, which drops what the user said", "text with {prompt}", at=("user",))
        return self


class GuardFilter(Spec):
    """Refuses what has one of the `words` (whatever their case) or `patterns`, more than `longest_prompt` characters,
    a message of none of the `roles`, or a tool of `blocked_tools`. `message` is what the client is told of a text.
    """

    type: Literal["guard"]
    words: Items[Filled] = ()
    patterns: Items[PatternText] = ()
    on: On = "request"
    longest_prompt: Annotated[int, Field(ge=1)] | None = None
    roles: Items[Literal["system", "developer", "user", "assistant", "tool", "function"]] = ()
    blocked_tools: Items[Filled] = ()
    message: Filled = "The text has something in it that is not allowed here."

    @model_validator(mode="after")
    def _ends(self) -> Self:
        _end_in_answers(self.on, ((("patterns", index), one) for index, one in enumerate(self.patterns)))
        return self


class OwnFilter(Spec):
    """A class of the user's, `module.path:ClassName`, made with `options` as its arguments by name."""

    type: Annotated[str, AfterValidator(_is_class)]
    options: dict[str, JsonValue] = Field(default={})


_BUILT_IN: Mapping[str, type[Spec]] = {
    "redact": RedactFilter,
    "headers": HeadersFilter,
    "template": TemplateFilter,
    "guard": GuardFilter,
}


def _is_typed(value: Any) -> Any:
    if isinstance(value, dict):
        kind = value.get("type")
        if not isinstance(kind, str) or (kind not in _BUILT_IN and ":" not in kind):
            near = nearest(kind, _BUILT_IN) if isinstance(kind, str) else None
            expected = f"{one_of(_BUILT_IN)}, or a class such as acme.filters:Shout"
            raise refuse(f"found {show(kind)}", expected, nearest=near, at=("type",))
    return value


def _tag(value: Any) -> str:
    """In brackets: it stands in the place of an error, and in no file."""
    kind = str(value.get("type") if isinstance(value, dict) else value.type)
    return f"[{_BUILT_IN.get(kind, OwnFilter).__name__}]"


FilterSpec = Annotated[
    Annotated[RedactFilter, Tag("[RedactFilter]")]
    | Annotated[HeadersFilter, Tag("[HeadersFilter]")]
    | Annotated[TemplateFilter, Tag("[TemplateFilter]")]
    | Annotated[GuardFilter, Tag("[GuardFilter]")]
    | Annotated[OwnFilter, Tag("[OwnFilter]")],
    Discriminator(_tag),
    BeforeValidator(_is_typed),
]
FILTERS: TypeAdapter[tuple[FilterSpec, ...]] = TypeAdapter(Items[FilterSpec])
"""Of a list as a file or the gateway's table has it."""
