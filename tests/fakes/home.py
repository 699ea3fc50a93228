"""A state directory as `biplane up` leaves it, with the control plane of fakes on its store."""

from __future__ import annotations

from pathlib import Path

from control.kernel.home import Home, Settings
from tests.fakes.plane import Plane

SETTINGS = Settings("local", 18000, 18265, 15001, 16380, 1, 2, 3, 4, 5)


def started(path: Path) -> Plane:
    """A plane whose state is in `path`, its node already known."""
    SETTINGS.write(Home(path))
    plane = Plane.at(path)
    plane.turn()
    return plane
