"""A row of a chat data set: reading it from JSONL, checking it, writing it back.

The format is one JSON object a line, `{"messages": [{"role": "user", "content": "…"}, {"role": "assistant",
…}]}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from train_jobs.tokens import ROLES, SPECIAL


@dataclass(frozen=True)
class Turn:
    """One message: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Row:
    """A conversation that ends with what the assistant should say; `where` is the file and line it came from."""

    turns: tuple[Turn, ...]
    where: str = field(default="", compare=False)

    @property
    def answer(self) -> str:
        """What the assistant says last."""
        return self.turns[-1].content

    @property
    def prompt(self) -> list[dict[str, str]]:
        """Every message before the last answer, in chat format."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns[:-1]]

    def line(self) -> str:
        """The row as one line of JSON, without the end of line."""
        messages = [{"role": turn.role, "content": turn.content} for turn in self.turns]
        return json.dumps({"messages": messages}, ensure_ascii=False)


def ask(question: str, answer: str) -> Row:
    """A row of one question and one answer."""
    return Row((Turn("user", question), Turn("assistant", answer)))


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file, blank lines left out.

    Raises ValueError naming file, line and field of the first row that is not in chat format.
    """
    with path.open(encoding="utf-8") as lines:
        try:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield parse_row(line, f"{path}, line {number}")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text: {error}") from error


def parse_row(line: str, where: str) -> Row:
    """One line as a row; `where` opens the ValueError's message when the line is not in chat format."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(found, dict) or "messages" not in found:
        raise ValueError(
            f'{where}: field "messages" is missing; expected {{"messages": [{{"role": "user", "content": "…"}}, …]}}'
        )
    messages = found["messages"]
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'{where}: field "messages" must be a list of at least two messages')
    turns = tuple(_turn(message, f"{where}: messages[{at}]") for at, message in enumerate(messages))
    if turns[-1].role != "assistant":
        raise ValueError(
            f'{where}: messages[{len(turns) - 1}].role is "{turns[-1].role}"; the last message must be the assistant\'s'
        )
    if not any(turn.role == "user" for turn in turns):
        raise ValueError(f'{where}: field "messages" has no message with role "user"')
    return Row(turns, where)


def _turn(message: object, where: str) -> Turn:
    if not isinstance(message, dict):
        raise ValueError(f'{where} must be an object with "role" and "content", not {type(message).__name__}')
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise ValueError(f"{where}.role is {json.dumps(role)}; expected one of {', '.join(ROLES)}")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"{where}.content must be text that is not empty")
    for reserved in SPECIAL:
        if reserved in content:
            raise ValueError(f"{where}.content holds {reserved}, which is reserved for the chat template")
    return Turn(str(role), content)
