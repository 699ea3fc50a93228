"""What a key can be confined to is what there is, and what is not there is refused with what was meant."""

from __future__ import annotations

import pytest

from control.gateway.scopes import Scopes, unknown_scopes
from control.gateway.state import Model
from control.specs.api_key import Grant
from control.specs.gateway import Backend, Gateway, Match, Route

ROUTES = (
    Route(
        name="chat", match=Match(path="/v1/chat/completions"), backends=(Backend(provider="openai", model="gpt-4o"),)
    ),
    Route(
        name="claude",
        match=Match(path="/v1/messages", model="smart"),
        backends=(Backend(provider="anthropic", model="claude-sonnet-4"),),
    ),
)
KNOWN = Scopes.of({"support": Model(adapters=("polite",))}, [Gateway(name="front", routes=ROUTES)])


def test_routes_of_documents_served_models_and_what_routes_ask_for_are_known() -> None:
    assert KNOWN.routes == {"chat", "claude"}
    assert KNOWN.models == {"support", "polite", "smart", "gpt-4o", "claude-sonnet-4"}


def test_what_is_there_is_no_problem_and_neither_is_a_key_for_all() -> None:
    assert unknown_scopes(Grant(routes=("claude",), models=("polite", "gpt-*")), KNOWN) == []
    assert unknown_scopes(Grant(), Scopes(frozenset(), frozenset())) == []


@pytest.mark.parametrize(
    ("grant", "known", "message"),
    [
        (Grant(routes=("chta",)), KNOWN, "there is no route 'chta'; did you mean 'chat'?"),
        (Grant(models=("gpt4o",)), KNOWN, "there is no model 'gpt4o'; did you mean 'gpt-4o'?"),
        (Grant(models=("suport*",)), KNOWN, "there is no model 'suport*'; did you mean 'support'?"),
        (Grant(routes=("zzz",)), KNOWN, "there is no route 'zzz'; expected one of chat, claude"),
        (Grant(models=("m",)), Scopes.of({}, []), "there is no model 'm'; expected no model: there is none"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(grant: Grant, known: Scopes, message: str) -> None:
    assert unknown_scopes(grant, known) == [message]


def test_a_collection_is_named_as_a_model_of_vectors() -> None:
    known = Scopes.of({}, [], ["films"])
    assert unknown_scopes(Grant(models=("vectors/films", "vectors/*")), known) == []
    [message] = unknown_scopes(Grant(models=("vectors/filns",)), known)
    assert "did you mean 'vectors/films'?" in message
