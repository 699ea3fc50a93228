"""The OpenAPI document of the vectors API: it says what is served, and what is served does what it says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from serve_apps.http_server import ReplicaServer
from serve_apps.internal_key import ENVIRONMENT_VARIABLE, RequireInternalKey
from serve_apps.vectors.openapi import OPENAPI
from serve_apps.vectors.paths import DOCUMENT
from tests.serve_apps.gateway.upstream import INTERNAL_KEY
from tests.serve_apps.vectors.api import Api, run, spec_of

HEADERS = {"authorization": f"Bearer {INTERNAL_KEY}"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
POINTS = [{"id": str(n), "vector": [n, 1], "metadata": {"title": f"number {n}", "year": n}} for n in range(5)]


def test_every_path_takes_the_methods_that_are_told_and_no_others() -> None:
    async def story() -> None:
        api = Api()
        for path, told in OPENAPI["paths"].items():
            for method in METHODS:
                answer = await api.client.request(method, path.format(name="films"), content=b"{}")
                assert (answer.status_code == 405) == (method.lower() not in told), (method, path)
                assert answer.status_code != 404, "every path that is told is known"

    run(story())


def test_the_document_is_served() -> None:
    async def story() -> None:
        answer = await Api().client.get(DOCUMENT)
        assert answer.json() == json.loads(json.dumps(OPENAPI))

    run(story())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_what_is_served_does_what_the_document_says(mode: GenerationMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schemathesis sends what the document allows, and what it forbids, and judges the answers by it.

    Two of its checks are left out: every case has a key, and what has the right form may not fit a
    collection's own dimension and fields.
    """
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, INTERNAL_KEY)
    found = schemathesis.openapi.from_dict(OPENAPI).get_all_operations()
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == sum(len(told.keys() & {"get", "post", "patch"}) for told in OPENAPI["paths"].values())
    left_out = [ignored_auth, positive_data_acceptance]

    def examine(url: str) -> None:
        for operation in operations:
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # nothing that it says can be wrong

            @hypothesis.settings(
                max_examples=15,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(operation.as_strategy(generation_mode=mode, headers=HEADERS))
            def judge(case: Any) -> None:
                if "name" in case.path_parameters:
                    case.path_parameters["name"] = "films"
                if isinstance(case.body, dict) and case.body.get("timeout_ms") in range(1, 1000):
                    case.body["timeout_ms"] = 1000  # else it may be over, and rightly be answered with 504
                case.call_and_validate(base_url=url, excluded_checks=left_out)

            judge()

    async def story() -> None:
        api = Api(films=spec_of(metric="ip", embedding={"model": "clip", "field": "title"}))
        await api.put(*POINTS)
        server = ReplicaServer(RequireInternalKey(api.app), "127.0.0.1")
        await server.start()
        await asyncio.to_thread(examine, server.url)
        await server.close()

    run(story(), 240)
