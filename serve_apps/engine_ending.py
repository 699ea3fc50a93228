"""Whether Serve is ending this replica: it tells the replica itself only when it has drained its own requests."""

from __future__ import annotations

import ray


def is_ending() -> bool:
    """True from the moment Serve asks this process's replica to shut down; False where that cannot be seen.

    Serve answers its own health route with 503 from then on, by this flag; it has no other word for it (Ray 2.60).
    """
    actors = ray._private.worker.global_worker.actors.values()
    return any(getattr(getattr(actor, "_replica_impl", None), "_shutting_down", False) for actor in actors)
