"""What the gateway's replicas counted, by the release that did it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from control.kernel.ids import AppName
from control.router.judgements import Scores
from control.router.rollout_state import Reading, Release
from control.traffic import Traffic


def readings_of(
    deployment: str, traffic: Mapping[str, Mapping[str, Traffic]], judged: Mapping[int, Scores]
) -> dict[Release, Reading]:
    """Of one deployment. `traffic` is by application and gateway replica; applications that are gone count, too.

    `judged` has the scores of each version.
    """
    sources: dict[Release, dict[str, Traffic]] = {}
    for name, counts in traffic.items():
        app = AppName.parse(name)
        if app is not None and app.deployment == deployment:
            own = sources.setdefault(Release(app.version, app.settings), {})
            own.update({f"{replica}/{name}": count for replica, count in counts.items()})
    return {release: Reading(counts, judged.get(release.version, {})) for release, counts in sources.items()}
