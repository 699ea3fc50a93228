"""What is said of a gateway document before it is stored: prices that budgets need, routes that others have."""

from __future__ import annotations

import pytest

from control.checks import Surroundings, check_documents
from control.kernel.store import Object
from control.specs.load import load_text
from control.specs.problem import SpecError
from tests.control.router.world import deployment
from tests.control.specs.samples import GATEWAY, broken

BUDGET = "          weight: 70\n          cost_budget_daily: 500\n"
BUDGETED = broken(GATEWAY, "          weight: 70\n", BUDGET)
OWN = "  prices:\n    - {provider: openai, model: gpt-9o, input: 1, output: 2}\n  rate_limits:\n"


def stored(text: str) -> Object:
    (document,) = load_text(text, "before.yaml")
    spec = document.spec.model_dump(mode="json")
    return Object(document.kind, document.name, "u", 1, 1, spec, {}, 0.0, 0.0)


def said(text: str, *objects: Object) -> list[str]:
    """What is wrong, or else what is to be known."""
    written = load_text(text, "f.yaml")
    around = Surroundings.of(written, objects, started=True)
    try:
        return [str(one) for one in check_documents(written, around) if "nothing says whether" not in str(one)]
    except SpecError as error:
        return [str(one) for one in error.problems]


def test_a_budget_on_a_model_of_the_list_passes_and_one_on_an_unknown_model_is_refused_with_the_nearest() -> None:
    assert said(BUDGETED) == []
    assert said(broken(BUDGETED, "gpt-4o", "gpt-9o")) == [
        "f.yaml:9: gateway.routes[chat].backends[0].model: there is no price of openai/gpt-9o, neither in "
        "gateway.prices nor in the list, to count cost by (gateway.routes[chat].backends[0].cost_budget_daily on "
        "line 11); did you mean 'gpt-4o'?"
    ]


def test_where_no_priced_model_is_alike_the_refusal_says_where_a_price_can_be_given() -> None:
    (problem,) = said(broken(BUDGETED, "gpt-4o", "xyz"))
    assert problem.endswith("cost_budget_daily on line 11); expected an entry in gateway.prices")


def test_a_limit_on_cost_needs_the_price_of_every_paid_backend() -> None:
    text = broken(broken(GATEWAY, "requests_per_minute: 60", "cost_per_day: 20"), "gpt-4o", "gpt-9o")
    (problem,) = said(text)
    assert problem.startswith("f.yaml:9: gateway.routes[chat].backends[0].model: there is no price of openai/gpt-9o")
    assert "(gateway.rate_limits[0].cost_per_day on line 17)" in problem


@pytest.mark.parametrize("text", [GATEWAY, BUDGETED.replace("  rate_limits:\n", OWN)])
def test_a_model_without_a_listed_price_is_fine_where_nothing_counts_cost_or_the_document_prices_it(text: str) -> None:
    assert said(broken(text, "model: gpt-4o\n", "model: gpt-9o\n")) == []


def test_a_route_that_another_document_has_is_refused_whether_stored_or_in_the_same_file() -> None:
    other = broken(broken(GATEWAY, "name: front", "name: back"), "name: chat", "name: talk")
    message = (
        "f.yaml:6: gateway.routes[chat].match.path: '/v1/chat/completions' is matched by route 'talk' of gateway "
        "'back'; expected every path and model once over all gateway documents"
    )
    assert said(GATEWAY, stored(other)) == [message]
    assert said(GATEWAY + "---\n" + other)[0] == message
    assert said(GATEWAY, stored(GATEWAY)) == [], "it takes its own place"


def test_a_route_s_name_that_another_document_has_is_refused_whether_stored_or_in_the_same_file() -> None:
    other = broken(broken(GATEWAY, "name: front", "name: back"), "/v1/chat/completions", "/v1/embeddings")
    message = (
        "f.yaml:4: gateway.routes[chat].name: gateway 'back' has a route 'chat'; expected every route's name once over "
        "all gateway documents"
    )
    assert said(GATEWAY, stored(other)) == [message]
    assert said(GATEWAY + "---\n" + other)[0] == message
    assert said(GATEWAY, stored(broken(other, "name: chat", "name: embed"))) == []


def test_documents_may_share_a_path_for_different_models() -> None:
    path = "        path: /v1/chat/completions\n"
    mine, theirs = (broken(GATEWAY, path, f"{path}        model: {model}\n") for model in ("gpt-4o", "gpt-5"))
    theirs = broken(broken(theirs, "name: front", "name: back"), "name: chat", "name: talk")
    assert said(mine, stored(theirs)) == []
    assert said(GATEWAY, stored(theirs)) == []
    (problem,) = said(mine, stored(broken(theirs, "model: gpt-5", "model: gpt-4o")))
    assert problem.startswith(
        "f.yaml:7: gateway.routes[chat].match.model: '/v1/chat/completions for gpt-4o' is matched"
    )


def test_a_route_for_a_deployed_model_or_adapter_is_a_warning() -> None:
    path = "        path: /v1/chat/completions\n"
    adapted = deployment() + "  adapters: [{name: law, model: law, version: 1}]\n"
    for model in ("chat", "law"):
        text = broken(GATEWAY, path, f"{path}        model: {model}\n")
        assert said(text, stored(adapted)) == [
            f"f.yaml:7: gateway.routes[chat].match.model: '{model}' is answered by deployment 'chat': this route takes "
            "nothing while it is there"
        ]
        assert said(text) == []
