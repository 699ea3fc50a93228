"""The way in for judges: whoever scores answers says here what a version's are worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from control.client import Client
from control.kernel.plan import PutSpec
from control.kernel.store import Conflict
from control.router.judgements import KIND, judgement, with_scores


def judge(client: Client, deployment: str, version: int, scores: Mapping[str, Iterable[float]]) -> None:
    """Scores, 0 to 1 and more is better, that judges gave to answers of a version; by judge.

    Raises NotFound, and ValueError for a score that is none.
    """
    (found,) = client.get("Deployment", deployment)
    given = {name: tuple(some) for name, some in scores.items()}
    name, reason = judgement(deployment, version), f"{', '.join(given)} of version {version}"
    while True:
        before = client.store.get(KIND, name)
        # What was said of a deployment that is gone is not said of the next of its name.
        said = before.spec if before and before.spec["deployment"] == found.uid else {"deployment": found.uid}
        spec, revision = with_scores(said, given), before.revision if before else None
        try:
            client.commit(PutSpec(kind=KIND, name=name, event="Judged", reason=reason, spec=spec, revision=revision))
        except Conflict:
            continue  # another judge was faster: add to what it said
        return
