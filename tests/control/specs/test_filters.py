"""Filters in a gateway document: what is refused, with its line and the nearest valid choice."""

from __future__ import annotations

import json

import pytest

from control.gateway.route_table import routes_of
from control.specs.filters import FILTERS
from control.specs.gateway import GatewayFile
from control.specs.load import load_text
from control.specs.problem import SpecError
from tests.control.specs.samples import GATEWAY


def written(told: str) -> str:
    return GATEWAY.replace("  rate_limits:\n", f"      filters:\n        - {told}\n  rate_limits:\n")


PLACE = "f.yaml:16: gateway.routes[chat].filters[0]"
WRONG = [
    ("{type: redcat}", f"{PLACE}.type: found 'redcat'; did you mean 'redact'?"),
    ("{type: redact, presets: [emial]}", f"{PLACE}.presets[0]: unknown preset 'emial'; did you mean 'email'?"),
    ("{type: redact, preset: [email]}", f"{PLACE}.preset: unknown field 'preset'; did you mean 'presets'?"),
    ("{type: redact}", f"{PLACE}: neither presets nor patterns; expected at least one of them"),
    (
        "{type: guard, patterns: ['a(?=b)']}",
        f"{PLACE}.patterns[0]: pattern 'a(?=b)' looks ahead or behind; "
        "expected a regular expression that can be matched in linear time",
    ),
    (
        "{type: guard, on: both, patterns: ['a+']}",
        f"{PLACE}.patterns[0]: pattern 'a+' may have any length, in an answer that streams; "
        "expected one of at most 1024 characters, such as with {1,64} in place of +",
    ),
    (
        "{type: headers, request: {set: {Authorization: x}}}",
        f"{PLACE}.request.set.Authorization: the header 'Authorization' is the gateway's own to set; "
        "expected another one",
    ),
    (
        "{type: headers, request: {set: {x-a: {envv: T}}}}",
        f"{PLACE}.request.set.x-a.envv: unknown field 'envv'; did you mean 'env'?",
    ),
    (
        "{type: headers, answer: {set: {x-a: {env: T}}}}",
        f"{PLACE}.answer.set.x-a: a secret would be told to every client; expected plain text",
    ),
    (
        "{type: template, user: hello}",
        f"{PLACE}.user: found 'hello', which drops what the user said; expected text with {{prompt}}",
    ),
]


@pytest.mark.parametrize(("told", "complaint"), WRONG)
def test_a_filter_that_is_wrong_is_refused_where_it_is(told: str, complaint: str) -> None:
    with pytest.raises(SpecError) as refused:
        load_text(written(told), "f.yaml")
    assert complaint in str(refused.value).splitlines()


def test_the_table_has_the_filters_as_they_can_be_read_again() -> None:
    told = "{type: redact, presets: [email], patterns: [{name: staff, pattern: 'EMP-[0-9]{6}'}], restore: true}"
    (document,) = load_text(written(told), "f.yaml")
    assert isinstance(document.spec, GatewayFile)
    (route,) = routes_of(document.spec.gateway)
    assert FILTERS.validate_json(json.dumps(route["filters"])) == document.spec.gateway.routes[0].filters
