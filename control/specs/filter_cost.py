"""What a filter costs beyond the search itself, in words. Pure."""

from __future__ import annotations

from control.specs.collection import CollectionSpec
from control.specs.vector_filter import Filter, fields_of


def cost_of(where: Filter, spec: CollectionSpec) -> str:
    """Empty where indexes answer the whole of it."""
    named = fields_of(where)
    read = [field.name for field in spec.fields if field.name in named and not field.index]
    return f"reads {' and '.join(read)} of every row: without an index" if read else ""
