"""Rows of a file of JSON lines: the API's points, or flat objects whose keys are columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from actors.vectors.rows import ID, VECTOR
from control.specs.collection import CollectionSpec
from control.specs.problem import show
from serve_apps.vectors.bulk.columns import ImportRefused

LONGEST_LINE = 64 << 20
_POINT = frozenset({ID, VECTOR, "text", "image", "metadata"})
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class JsonRows:
    """Every line may have other keys, so there are no names."""

    names = None

    def __init__(self, path: Path) -> None:
        self._path = path

    def count(self, columns: Mapping[str, str]) -> int:
        with self._path.open("rb") as file:
            return sum(1 for line in _lines(file) if not line.isspace())

    def read(
        self, columns: Mapping[str, str], spec: CollectionSpec, size: int, skip: int
    ) -> Iterator[list[dict[str, Any]]]:
        with self._path.open("rb") as file:
            filled = ((number, line) for number, line in enumerate(_lines(file), 1) if not line.isspace())
            lines = islice(filled, skip, None)
            row, called = skip, None
            while batch := list(islice(lines, size)):
                points = [_point(line, number, columns, spec) for number, line in batch]
                for (number, _), point in zip(batch, points, strict=True):
                    called = ID in point if called is None else called
                    if called != (ID in point):
                        found, others = ("no id", "have one") if called else ("an id", "have none")
                        raise ImportRefused(f"line {number} has {found}, and the lines before it {others}")
                    point.setdefault(ID, row if spec.ids == "integer" else str(row))
                    row += 1
                yield points


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ImportRefused(f"a line is longer than {LONGEST_LINE >> 20} MiB")
        yield line


def _point(line: bytes, number: int, columns: Mapping[str, str], spec: CollectionSpec) -> dict[str, Any]:
    try:
        told = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "; JSON has neither NaN nor Infinity" if b"NaN" in line or b"Infinity" in line else ""
        raise ImportRefused(f"line {number} is no JSON object: {error}{hint}") from error
    if "metadata" in told and spec.field("metadata") is None:
        if not isinstance(told["metadata"], dict):
            raise ImportRefused(f"line {number}: metadata: found {show(told['metadata'])}; expected an object")
        told = {**told.pop("metadata"), **told}
    point: dict[str, Any] = {}
    metadata = {}
    for name, value in told.items():
        target = columns.get(name, "" if name in columns.values() else name)
        if target in _POINT and spec.field(target) is None:
            point[target] = value
        elif target:
            metadata[target] = value
    return {**point, "metadata": metadata}
