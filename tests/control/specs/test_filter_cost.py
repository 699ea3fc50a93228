"""What a person is told of a filter that no index answers."""

from __future__ import annotations

from control.specs.collection import CollectionSpec, MetadataField
from control.specs.filter_cost import cost_of
from control.specs.vector_filter import EVERYTHING, And, Exists, In, Not, Or

SPEC = CollectionSpec(
    dimension=2,
    fields=(
        MetadataField(name="tag", type="keyword"),
        MetadataField(name="note", type="text", index=False),
        MetadataField(name="year", type="integer", index=False),
    ),
)


def test_a_filter_on_indexed_fields_costs_nothing_to_speak_of() -> None:
    assert cost_of(And((In("tag", ("a",)), EVERYTHING)), SPEC) == ""


def test_a_field_without_an_index_is_named_wherever_it_stands() -> None:
    assert cost_of(In("year", (1,)), SPEC) == "reads year of every row: without an index"
    where = Or((In("tag", ("a",)), Not(And((Exists("note"), In("year", (1,)))))))
    assert cost_of(where, SPEC) == "reads note and year of every row: without an index"
