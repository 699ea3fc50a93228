"""A provider closes a connection that was kept just as a request is sent on it: that is nobody's fault."""

from __future__ import annotations

import pytest

from tests.serve_apps.gateway.scripted import OPENAI, Script, Talk, head, response, scripted, well
from tests.serve_apps.gateway.test_faults import ask, at, check_answered, gateway, publish, route
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "sk-one")


def once(then: bytes = b"", *, reset: bool = False) -> Script:
    """Answers the first request of a connection, and what comes after it with no more than `then`."""

    async def answer(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(200, OPENAI.whole))
        await talk.request()
        await talk.send(then)
        if reset:
            talk.reset()

    return answer


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_request_that_a_closed_connection_lost_is_sent_again_and_counts_as_no_fault(
    streamed: bool, reset: bool
) -> None:
    async def story() -> None:
        async with gateway() as it, scripted(once(reset=reset)) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), retries=0))
            assert (await ask(it, CHAT, False))[0] == 200
            one.script = well(OPENAI)
            status, body, headers = await ask(it, CHAT, streamed)
            assert status == 200
            check_answered(CHAT, streamed, body)
            assert one.asked == 2
            assert "x-biplane-attempts" not in headers
            (standing,) = it.gateway._ways.standings()
            assert (standing.state, standing.why) == ("healthy", "")

    run(story())


async def broken(talk: Talk) -> None:
    await talk.request()
    talk.reset()


def test_it_is_sent_again_once_and_on_a_new_connection() -> None:
    async def story() -> None:
        async with gateway() as it, scripted(once()) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), retries=0))
            assert (await ask(it, CHAT, False))[0] == 200
            one.script = broken
            status, _, headers = await ask(it, CHAT, False)
            assert status == 503
            assert headers["x-biplane-attempts"] == "openai/openai-model broken"
            assert one.asked == 2

    run(story())


def test_what_is_lost_on_a_new_connection_or_after_a_byte_of_the_answer_is_not_sent_again() -> None:
    async def story() -> None:
        async with gateway() as it, scripted(broken) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), retries=0))
            assert (await ask(it, CHAT, False))[0] == 503
            assert one.asked == 1
            one.script = once(head()[:1])
            assert [(await ask(it, CHAT, False))[0] for _ in range(2)] == [200, 503]
            assert one.asked == 2

    run(story())


def test_where_no_new_connection_is_to_be_had_the_backend_was_not_reached() -> None:
    async def story() -> None:
        async with gateway() as it, scripted(once()) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), retries=0))
            assert (await ask(it, CHAT, False))[0] == 200
            one.server.close()
            status, _, headers = await ask(it, CHAT, False)
            assert status == 503
            assert headers["x-biplane-attempts"] == "openai/openai-model unreached"

    run(story())
