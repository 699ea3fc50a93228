"""Whether a collection would take rows, by the API's own rules, without sending them. Pure."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from actors.vectors.rows import VECTOR
from control.specs.collection import CollectionSpec
from serve_apps.vectors.arrow_batch import read_arrow
from serve_apps.vectors.batch import batch_of, check_names, measured
from serve_apps.vectors.bodies import Point
from serve_apps.vectors.bulk.source import Rows
from serve_apps.vectors.client import stream_of
from serve_apps.vectors.refusals import invalid, misshapen


def check_rows(rows: Rows, spec: CollectionSpec) -> None:
    """Raises ApiError, as the API would answer."""
    if isinstance(rows, pa.Table):
        read_arrow(stream_of(rows), spec)
        return
    try:
        points = msgspec.convert({"points": rows}, _Points).points
    except msgspec.ValidationError as error:
        raise misshapen(str(error)) from None
    check_names([point.metadata for point in points], spec)
    lists = []
    for row, point in enumerate(points):
        vector = point.vector
        if isinstance(vector, msgspec.UnsetType):
            if spec.embedding is None:
                raise invalid(f"points[{row}].{VECTOR}", "nothing", f"{spec.dimension} numbers")
            if not (point.text or point.image or point.metadata.get(spec.embedding.field)):
                raise invalid(f"points[{row}]", "no vector and no text", f"metadata.{spec.embedding.field}")
            vector = [1.0] * spec.dimension  # the model will make another
        lists.append(vector)
    batch_of(points, measured(lists, spec, lambda row: f"points[{row}].vector"), spec)


class _Points(msgspec.Struct):
    points: list[Point]
