"""The agents of the nodes: they are asked how their devices are, and told how to cut them.

Part of the one door to Ray (`drive`). Nothing here waits for an agent: an answer is picked up by a later look, and so
is what went wrong. Only agents that this process ensured are asked, so whoever does without reports pays nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

import ray
from pydantic import TypeAdapter
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from control.kernel.home import Home
from control.kernel.ids import NAMESPACE
from control.kernel.imports import load
from control.kernel.plan import CutDevice, EnsureAgent
from control.specs.inventory import NodeReport

AGENT_PREFIX = "agent:"
AGENT = "actors.node_agent:NodeAgent"
ASK_SECONDS = 3.0
"""How often an agent is asked for a report."""

_reports = TypeAdapter(NodeReport)


class AgentFailed(Exception):
    """What an agent was asked for did not happen; the message says what it answered."""


@dataclass
class _Agent:
    """`heard` is when it last answered, or when it was first asked for; seconds of the monotonic clock."""

    handle: Any
    heard: float
    asked: float = 0.0
    answer: Any = None
    report: NodeReport | None = None


class Agents:
    """The agents, by Ray node id."""

    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}
        self._cuts: dict[tuple[str, str], Any] = {}
        self._failures: dict[str, str] = {}
        self._swept = False

    def ensure(self, effect: EnsureAgent) -> None:
        """Raises AgentFailed once after an agent died for good; asked again, it makes another."""
        if effect.node_id in self._agents:
            return
        if failure := self._failures.pop(effect.node_id, ""):
            raise AgentFailed(f"the agent of {effect.name} ended: {failure}")
        options = {
            "name": f"{AGENT_PREFIX}{effect.node_id}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "num_cpus": 0,
            "max_concurrency": 4,  # a report does not wait for a cut
            "label_selector": {"ray.io/node-id": effect.node_id},
        }
        agent = ray.remote(load(AGENT)).options(**options)
        handle = agent.remote(effect.driver, dict(effect.args), str(Home.find().claims))
        self._agents[effect.node_id] = _Agent(handle, heard=time.monotonic())

    def cut(self, effect: CutDevice) -> None:
        """Raises AgentFailed once after a cut that failed; asked again, it tries again."""
        place = (effect.node_id, effect.order.device)
        if place in self._cuts:
            if not _is_done(self._cuts[place]):
                return
            try:
                ray.get(self._cuts.pop(place))
            except RayError as error:
                raise AgentFailed(_words(error)) from error
        agent = self._agents.get(effect.node_id)
        if agent is None:
            raise AgentFailed(f"the agent of {effect.name} is not there yet")
        self._cuts[place] = agent.handle.cut.remote(asdict(effect.order))

    def look(self, live: Collection[str]) -> dict[str, tuple[NodeReport | None, float]]:
        """For each agent on a live node its last report, and for how many seconds it has not answered."""
        for node_id in [node_id for node_id in self._agents if node_id not in live]:
            # Pinned to a node that never comes back under this id, it would wait for it for ever.
            ray.kill(self._agents.pop(node_id).handle, no_restart=True)
        self._cuts = {place: cut for place, cut in self._cuts.items() if place[0] in live}
        if self._agents and not self._swept:
            self._sweep(live)
        now = time.monotonic()
        for node_id, agent in list(self._agents.items()):
            if agent.answer is not None and _is_done(agent.answer):
                self._hear(node_id, agent, now)
            if agent.answer is None and now - agent.asked >= ASK_SECONDS:
                agent.answer, agent.asked = agent.handle.report.remote(), now
        return {node_id: (agent.report, now - agent.heard) for node_id, agent in self._agents.items()}

    def _sweep(self, live: Collection[str]) -> None:
        """End the agents that an earlier life of this process left for nodes that are gone."""
        self._swept = True
        named = ray.util.list_named_actors(all_namespaces=True)
        for name in (row["name"] for row in named if row["namespace"] == NAMESPACE):
            if name.startswith(AGENT_PREFIX) and name.removeprefix(AGENT_PREFIX) not in live:
                with contextlib.suppress(ValueError):
                    ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)

    def _hear(self, node_id: str, agent: _Agent, now: float) -> None:
        answer, agent.answer = agent.answer, None
        try:
            agent.report, agent.heard = _reports.validate_python(ray.get(answer)), now
        except ActorDiedError as error:
            del self._agents[node_id]
            self._failures[node_id] = _words(error)
        except (RayTaskError, ValueError) as error:
            agent.report, agent.heard = replace(agent.report or NodeReport(), error=_words(error)), now
        except RayError:
            return  # its process is being started again: it stays unheard until it answers


def _is_done(reference: Any) -> bool:
    done, _ = ray.wait([reference], timeout=0)
    return bool(done)


def _words(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".strip().splitlines()[-1]
