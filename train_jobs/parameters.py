"""A step's declared parameters: text in, typed values out, with errors a person can act on."""

from __future__ import annotations

from control.specs.step import StepRequest


class Parameters:
    """The parameters of one request; those not given have the step's defaults.

    Every reader raises ValueError naming the parameter, what was found and what was expected.
    """

    def __init__(self, request: StepRequest, defaults: dict[str, str]) -> None:
        self._values = {**defaults, **request.parameters}
        self._task = request.task

    def text(self, name: str) -> str:
        """The value as it was written, without spaces around it."""
        value = self._values.get(name, "").strip()
        if not value:
            raise ValueError(f'task "{self._task}": parameter "{name}" is missing')
        return value

    def optional(self, name: str) -> str:
        """The value as it was written, or empty text where none was given."""
        return self._values.get(name, "").strip()

    def whole(self, name: str, least: int = 0) -> int:
        """A whole number, `least` or more."""
        text = self.text(name)
        try:
            value = int(text)
        except ValueError as error:
            raise self._wrong(name, text, "a whole number") from error
        if value < least:
            raise self._wrong(name, text, f"{least} or more")
        return value

    def positive(self, name: str) -> float:
        """A number greater than zero."""
        text = self.text(name)
        try:
            value = float(text)
        except ValueError as error:
            raise self._wrong(name, text, "a number") from error
        if not 0 < value < float("inf"):
            raise self._wrong(name, text, "a number greater than zero")
        return value

    def _wrong(self, name: str, found: str, expected: str) -> ValueError:
        return ValueError(f'task "{self._task}": parameter "{name}" is "{found}"; expected {expected}')
