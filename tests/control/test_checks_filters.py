"""A user's own filter is looked at when it is applied, as far as it can be imported there."""

from __future__ import annotations

from control.checks_filters import filter_faults, filter_notes
from control.specs.gateway import GatewayFile
from control.specs.load import load_text
from control.specs.problem import Fault
from tests.control.specs.test_filters import written


def looked_at(told: str) -> tuple[list[Fault], list[Fault]]:
    (document,) = load_text(written(told), "f.yaml")
    assert isinstance(document.spec, GatewayFile)
    return list(filter_faults(document.spec)), list(filter_notes(document.spec))


def test_a_class_that_takes_its_options_is_right() -> None:
    assert looked_at("{type: 'examples.shout:Shout', options: {marks: 2}}") == ([], [])


def test_a_class_that_is_not_there_is_refused_with_the_one_that_is() -> None:
    ((fault,), _) = looked_at("{type: 'examples.shout:Shuot'}")
    assert (fault.path[-1], fault.nearest) == ("type", "Shout")


def test_options_that_it_does_not_take_are_refused() -> None:
    ((fault,), _) = looked_at("{type: 'examples.shout:Shout', options: {mark: 2}}")
    assert fault.path[-1] == "options"
    assert "mark" in fault.found


def test_a_module_that_cannot_be_imported_here_is_a_warning() -> None:
    faults, (note,) = looked_at("{type: 'no_such_module.filters:One'}")
    assert not faults
    assert "503" in note.found
