"""Prompt templates: text around the system prompt and the user's last message. Nothing in them is evaluated. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from control.specs.filters import TemplateFilter
from serve_apps.gateway.filters.filter import Context, Filter, Json
from serve_apps.gateway.filters.texts import mapped

_PLACE = re.compile(r"\{(user|organization|model|prompt)\}")
SYSTEM = ("system", "developer")


class Template(Filter):
    """Of a request without messages, a completion or embeddings, each text is the user's last message, and there is no
    system prompt.
    """

    def __init__(self, spec: TemplateFilter) -> None:
        self._system, self._user = spec.system, spec.user

    def request(self, document: Json, context: Context) -> Json:
        user = document.get("user")
        facts = {
            "user": user if isinstance(user, str) else "",
            "organization": context.organization,
            "model": context.model,
        }
        if not isinstance(document.get("messages"), list):
            return mapped(document, lambda text: self._asked(text, facts))
        messages = self._with_system(document["messages"], facts)
        messages = self._with_user(messages, facts)
        return document if messages is document["messages"] else {**document, "messages": messages}

    def _with_system(self, messages: list[Json], facts: Mapping[str, str]) -> list[Json]:
        """Stands before all others: of several of the client's the first is prepended to, the last appended to."""
        before, after, instead = (
            _filled(text, facts) for text in (self._system.prepend, self._system.append, self._system.replace)
        )
        if instead:
            messages = [{"role": "system", "content": instead}, *(one for one in messages if not _is_system(one))]
        mine = [index for index, message in enumerate(messages) if _is_system(message)]
        if not mine:
            text = "\n\n".join(filter(None, (before, after)))
            return [{"role": "system", "content": text}, *messages] if text else messages
        if before or after:
            messages = list(messages)
        if before:
            messages[mine[0]] = _around(messages[mine[0]], f"{before}\n\n", "")
        if after:
            messages[mine[-1]] = _around(messages[mine[-1]], "", f"\n\n{after}")
        return messages

    def _with_user(self, messages: list[Json], facts: Mapping[str, str]) -> list[Json]:
        last = next((index for index in reversed(range(len(messages))) if _role(messages[index]) == "user"), None)
        if self._user is None or last is None:
            return messages
        content = messages[last].get("content")
        if isinstance(content, str):
            return [*messages[:last], {**messages[last], "content": self._asked(content, facts)}, *messages[last + 1 :]]
        head, _, tail = self._user.partition("{prompt}")
        around = _around(messages[last], _filled(head, facts), _filled(tail, {**facts, "prompt": ""}))
        return [*messages[:last], around, *messages[last + 1 :]]

    def _asked(self, prompt: str, facts: Mapping[str, str]) -> str:
        return prompt if self._user is None else _filled(self._user, {**facts, "prompt": prompt})


def _filled(text: str | None, facts: Mapping[str, str]) -> str:
    """In one pass: what is put in is not looked into."""
    return _PLACE.sub(lambda place: facts.get(place[1], place[0]), text or "")


def _around(message: Json, before: str, after: str) -> Json:
    """Parts stay as they are: pictures have their place among them."""
    content = message.get("content")
    if isinstance(content, list):
        first = [{"type": "text", "text": before}] if before else []
        last = [{"type": "text", "text": after}] if after else []
        return {**message, "content": [*first, *content, *last]}
    return {**message, "content": f"{before}{content or ''}{after}"}


def _role(message: Json) -> object:
    return message.get("role") if isinstance(message, dict) else None


def _is_system(message: Json) -> bool:
    return _role(message) in SYSTEM
