"""Reads what a client sent, every refusal an ApiError 400 that names the parameter, and what a backend said."""

from collections.abc import Iterable, Iterator
from typing import Any

from serve_apps.gateway.errors import ApiError, invalid_value
from serve_apps.gateway.nesting import loaded

Json = dict[str, Any]


def an_object(value: Any, param: str) -> Json:
    if not isinstance(value, dict):
        raise invalid_value(param, "an object", value)
    return value


def an_array(value: Any, param: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid_value(param, "an array", value)
    return value


def a_string(value: Any, param: str) -> str:
    if not isinstance(value, str):
        raise invalid_value(param, "a string", value)
    return value


def a_number(value: Any, param: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_value(param, "a number", value)
    return value


def objects(value: Any, param: str) -> Iterator[tuple[str, Json]]:
    """The objects of an array, each with the name by which a refusal calls it."""
    for index, item in enumerate(an_array(value, param)):
        name = f"{param}[{index}]"
        yield name, an_object(item, name)


def picked(source: Json, names: Iterable[str]) -> Json:
    """Those of the fields that are there and not null, unchecked: for what both dialects call the same."""
    return {name: source[name] for name in names if source.get(name) is not None}


def unsupported(param: str, reason: str) -> ApiError:
    """The request cannot be said in the backend's dialect. `reason` completes "'param' …"."""
    return ApiError(400, "unsupported_parameter", f"'{param}' {reason}.", param=param)


def refuse(request: Json, names: Iterable[str], reason: str) -> None:
    """Raises for the first of the fields that is there and asks for something: not null, false, zero or empty."""
    for name in names:
        if request.get(name):
            raise unsupported(name, reason)


def said_text(value: Any) -> str:
    """Of a backend's answer. Raises TypeError, which the translations of answers tell as a ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def said_object(data: bytes) -> Json:
    """The object that a backend's event has as JSON. What is no UTF-8 in it is replaced, as the standard of events has
    it. Raises ValueError where it is none.
    """
    found = loaded(data.decode(errors="replace"))
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} where an object belongs")
    return found


def said_fields(value: Any) -> Json:
    """Of what a backend may leave out or get wrong: none where it is no object."""
    return value if isinstance(value, dict) else {}
