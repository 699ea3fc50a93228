"""A filter of one's own, for `filters: [{type: "examples.shout:Shout", options: {marks: 3}}]`."""

from serve_apps.gateway.filters.filter import Context, Filter, Part


class Shout(Filter):
    def __init__(self, marks: int = 1) -> None:
        self.marks = marks

    def answer(self, part: Part, context: Context) -> "Shouted | None":
        return Shouted(self.marks) if part is Part.TEXT else None


class Shouted(Shout):
    def feed(self, text: str) -> str:
        return text.upper()

    def finish(self) -> str:
        return "!" * self.marks
