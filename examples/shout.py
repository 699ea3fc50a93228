"""A filter of one's own: the answer in capitals, with as many exclamation marks as the options say."""

from serve_apps.gateway.filters.filter import Context, Filter, Part


class Shout(Filter):
    def __init__(self, marks: int = 1) -> None:
        self._end = "!" * marks

    def answer(self, part: Part, context: Context) -> "Loud | None":
        return Loud(self._end) if part is Part.TEXT else None


class Loud:
    def __init__(self, end: str) -> None:
        self._end = end

    def feed(self, text: str) -> str:
        return text.upper()

    def finish(self) -> str:
        return self._end
