"""The texts of a request: every place where a model reads what people or tools wrote. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from serve_apps.gateway.filters.filter import Json

Change = Callable[[str], str]
IN_MESSAGE = ("content", "reasoning_content", "reasoning", "refusal")


def mapped(document: Json, change: Change) -> Json:
    """A copy with each text changed; the same document where none is. Arguments of calls are changed as JSON text."""
    found = document
    for name in ("prompt", "input"):
        if name in document:
            found = _with(found, name, _plain(document[name], change))
    if isinstance(document.get("messages"), list):
        found = _with(found, "messages", _each(document["messages"], lambda message: _message(message, change)))
    return found


def texts(document: Json) -> Iterator[str]:
    found: list[str] = []

    def look(text: str) -> str:
        found.append(text)
        return text

    mapped(document, look)
    yield from found


def _message(message: Any, change: Change) -> Any:
    if not isinstance(message, dict):
        return message
    found = message
    for name in IN_MESSAGE:
        value = message.get(name)
        if isinstance(value, str):
            found = _with(found, name, change(value))
        elif isinstance(value, list):
            found = _with(found, name, _each(value, lambda part: _fields(part, ("text", "refusal"), change)))
    if isinstance(message.get("thinking_blocks"), list):
        blocks = _each(message["thinking_blocks"], lambda block: _fields(block, ("thinking",), change))
        found = _with(found, "thinking_blocks", blocks)
    if isinstance(message.get("tool_calls"), list):
        found = _with(found, "tool_calls", _each(message["tool_calls"], lambda call: _call(call, change)))
    if isinstance(message.get("function_call"), dict):
        found = _with(found, "function_call", _fields(message["function_call"], ("arguments",), change))
    return found


def _call(call: Any, change: Change) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    return _with(call, "function", _fields(call["function"], ("arguments",), change))


def _plain(value: Any, change: Change) -> Any:
    """A text or several; tokens stay as they are."""
    if isinstance(value, list):
        return _each(value, lambda item: _plain(item, change) if isinstance(item, str) else item)
    return change(value) if isinstance(value, str) else value


def _fields(value: Any, names: tuple[str, ...], change: Change) -> Any:
    found = value
    for name in names if isinstance(value, dict) else ():
        if isinstance(value.get(name), str):
            found = _with(found, name, change(value[name]))
    return found


def _each(items: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    changed = [change(item) for item in items]
    return changed if any(new is not old for new, old in zip(changed, items, strict=True)) else items


def _with(document: Json, name: str, value: Any) -> Json:
    """Compared by what it is, not by what it says: long texts are not read again."""
    return document if value is document[name] else {**document, name: value}
