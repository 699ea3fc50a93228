"""Scores that judges give through the client add up, whoever else gives some at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.client import Client, NotFound
from control.judging import judge
from control.kernel.home import Home
from control.kernel.plan import PutSpec
from control.kernel.store import Store
from control.router.judgements import KIND, scores_of


@pytest.fixture
def client(tmp_path: Path) -> Client:
    home = Home(tmp_path)
    home.settings_file.touch()
    spec = {"spec": {"model": "chat"}}
    deployment = PutSpec(kind="Deployment", name="chat", event="Applied", reason="", spec=spec)
    Store(home.store_url).commit((deployment,), who="test", now=1.0)
    return Client(home)


def test_scores_of_a_version_add_up(client: Client) -> None:
    for score in (0.5, 1.0, 0.5):
        judge(client, "chat", 2, {"faithful": [score]})
    stored = client.store.get(KIND, "chat@2")
    assert stored is not None
    assert scores_of(stored.spec) == {"faithful": {50: 2, 100: 1}}


def test_there_must_be_such_a_deployment(client: Client) -> None:
    with pytest.raises(NotFound):
        judge(client, "chatt", 2, {"faithful": [1.0]})
