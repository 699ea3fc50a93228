"""One plane and one trained model for the whole session: the first fixture runs the main path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from control.kernel.home import Home
from control.kernel.recover import end_plane, processes_of
from tests.e2e.plane import ROOT, Plane


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane that is not started yet. BIPLANE_HOME, where given, must be empty: tests never touch a person's plane."""
    given = os.environ.get("BIPLANE_HOME")
    path = Path(given) if given else tmp_path_factory.mktemp("home")
    path.mkdir(parents=True, exist_ok=True)
    assert not any(path.iterdir()), f"{path} is not empty: the e2e tests need a state directory of their own"
    cluster = yaml.safe_load((ROOT / "examples" / "cluster.local.yaml").read_text())
    cluster["spec"]["ports"] = dict.fromkeys(cluster["spec"]["ports"], 0)
    file = tmp_path_factory.mktemp("cluster") / "cluster.yaml"
    file.write_text(yaml.safe_dump(cluster))
    home = Home(path)
    yield Plane(home, file)
    end_plane(home.plane_id)
    assert not processes_of(home.plane_id)
