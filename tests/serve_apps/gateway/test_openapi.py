"""The gateway's OpenAPI document: it says what is served, and what is served does what it says."""

import asyncio
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from serve_apps.gateway.app import HEALTH, METRICS, MODELS
from serve_apps.gateway.generation import GENERATING
from serve_apps.gateway.openapi import OPENAPI, PATH
from tests.serve_apps.gateway.scripted import ANTHROPIC, OPENAI, scripted, well
from tests.serve_apps.gateway.test_faults import at, gateway, publish, route
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, MESSAGES

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "sk-one")


def test_the_document_has_the_paths_that_are_served_and_no_others() -> None:
    assert set(OPENAPI["paths"]) == {*GENERATING, MODELS, MODELS + "/{model}", HEALTH, METRICS, PATH}


def test_every_path_takes_the_methods_that_are_told_and_no_others() -> None:
    async def story() -> None:
        async with gateway() as it:
            for path, told in OPENAPI["paths"].items():
                for method in METHODS:
                    async with it.client.request(method, path.format(model="tiny")) as answer:
                        assert (answer.status == 405) == (method.lower() not in told), (method, path)
                        assert answer.status != 404, "every path that is told is known"

    run(story())


def test_the_document_is_for_everybody() -> None:
    async def story() -> None:
        async with gateway() as it, it.client.get(PATH, headers={"authorization": ""}) as answer:
            assert (answer.status, await answer.json()) == (200, OPENAPI)

    run(story())


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_what_is_served_does_what_the_document_says(mode: GenerationMode) -> None:
    """Schemathesis sends what the document allows, and what it forbids, and judges the answers by it.

    Two of its checks are left out: every case has a key, and a backend may refuse what the gateway lets through.
    """
    found = schemathesis.openapi.from_dict(OPENAPI).get_all_operations()
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == sum(len(told.keys() & {"get", "head", "post"}) for told in OPENAPI["paths"].values())

    def examine(url: str, headers: dict[str, str]) -> None:
        for operation in operations:
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # nothing that it says can be wrong

            @hypothesis.settings(max_examples=40, deadline=None, database=None, derandomize=True)
            @hypothesis.given(operation.as_strategy(generation_mode=mode, headers=headers))
            def judge(case: Any) -> None:
                case.call_and_validate(base_url=url, excluded_checks=[ignored_auth, positive_data_acceptance])

            judge()

    async def story() -> None:
        async with gateway() as it, scripted(well(OPENAI)) as one, scripted(well(ANTHROPIC)) as two:
            backends = [{**at(OPENAI, one), "weight": 1}, {**at(ANTHROPIC, two), "weight": 1}]
            paths = (CHAT, MESSAGES)
            await publish(it, *({**route(path, "", *backends, pool_size=9), "model": None} for path in paths))
            url, headers = (
                f"http://127.0.0.1:{it.port}",
                {str(name): value for name, value in it.client.headers.items()},
            )
            await asyncio.to_thread(examine, url, headers)

    run(story(), 120)
