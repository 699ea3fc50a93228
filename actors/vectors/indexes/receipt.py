"""`index.json` of an index's directory: what the other files are, and how they are to be searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from actors.vectors.indexes.index import IndexDamaged
from actors.vectors.indexes.tuning import Curve
from control.specs.collection import CollectionSpec, Metric
from control.specs.vector_index import IndexKind

NAME = "index.json"


@dataclass(frozen=True)
class Receipt:
    """`curves` by the name of the search parameter."""

    kind: IndexKind
    rows: int
    dimension: int
    metric: Metric
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        (directory / NAME).write_bytes(_JSON.dump_json(self))

    @staticmethod
    def read(directory: Path, spec: CollectionSpec) -> Receipt:
        path = directory / NAME
        try:
            receipt = _JSON.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise IndexDamaged(f"{path}: {error}") from error
        if (receipt.dimension, receipt.metric) != (spec.dimension, spec.metric):
            found = f"dimension {receipt.dimension} and metric {receipt.metric}"
            raise IndexDamaged(f"{path}: found {found}, expected {spec.dimension} and {spec.metric}")
        return receipt


_JSON = TypeAdapter(Receipt)
