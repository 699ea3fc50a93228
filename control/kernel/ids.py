"""Names that parse back into what they name.

Everything that Biplane starts on Ray has a name made here from its goal, so that a restarted control actor finds
its own work by name and recognises what no goal asks for any more.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

NAMESPACE = "biplane"
CONTROL_PREFIX = "control:"
STEP_PREFIX = "step:"
LLM_PREFIX = "llm:"
STEP_WORKLOAD_PREFIX = "step."
APP_WORKLOAD_PREFIX = "app."
VECTORS_PREFIX = "vectors:"
VECTORS_WORKLOAD_PREFIX = "vectors."
GATEWAY_APP = "gateway"
VECTORS_APP = "vectors"
CACHE_ACTOR = "cache:answers"
EMBEDDER_ACTOR = "embedder:minilm"
TABLE_NAME = "gateway"
VECTORS_TABLE = "vectors"
SHARD_KIND = "Shard"
WAKE_PREFIX = "wake:"
"""What a heartbeat begins with that asks for a deployment to be woken; the deployment's name follows."""
API_KEY_KIND = "ApiKey"
TABLE_KIND = "Table"
"""What control actors publish for the data plane."""


def digest(value: Any) -> str:
    """Eight hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


DOMAINS = ("scheduler", "registry", "router", "pipeline", "gateway", "vectors")
"""Each has a control actor."""


LEDGER = "ledger"
"""The actor beside those of the domains that keeps what gateways lend and spend."""


def control_name(domain: str) -> str:
    return f"{CONTROL_PREFIX}{domain}"


def life_of(uid: str) -> str:
    """The part of an object's uid that goes into names."""
    return uid[:8]


def run_name(workflow: str, generation: int) -> str:
    """The run that one generation of a workflow asks for; the same generation never runs twice."""
    return f"{workflow}-{generation}"


@dataclass(frozen=True)
class StepName:
    """The Ray actor of one attempt at one task of one run.

    `life` tells a run from one of the same name whose workflow was deleted and applied again.
    """

    run: str
    life: str
    task: str
    attempt: int

    def __str__(self) -> str:
        return f"{STEP_PREFIX}{self.run}:{self.life}:{self.task}:{self.attempt}"

    @property
    def workload(self) -> str:
        """The name of the workload that asks for the devices of every attempt."""
        return f"{STEP_WORKLOAD_PREFIX}{self.run}.{self.life}.{self.task}"

    @staticmethod
    def parse(text: str) -> StepName | None:
        """The step that `text` names, or None when it names something else."""
        if not text.startswith(STEP_PREFIX):
            return None
        match text.removeprefix(STEP_PREFIX).split(":"):
            case [run, life, task, attempt] if attempt.isdecimal():
                return StepName(run, life, task, int(attempt))
            case _:
                return None


@dataclass(frozen=True)
class AppName:
    """The Serve application of one replica of one version of a deployment, with one set of settings, on one lease.

    An application is never changed in place: other settings or other devices make another digest, so a second
    application that can be warmed beside the first. `replica` counts from 0.
    """

    deployment: str
    version: int
    settings: str
    replica: int
    lease: str

    def __str__(self) -> str:
        return f"{LLM_PREFIX}{self.deployment}:{self.version}:{self.settings}:{self.replica}:{self.lease}"

    @property
    def route_prefix(self) -> str:
        return f"/llm/{self.deployment}/{self.version}-{self.settings}-{self.replica}-{self.lease}"

    @property
    def engine(self) -> str:
        """Which engine of the release: the replica, and of one that only reads prompts its name there."""
        return "/".join((str(self.replica), *self.lease.split("/")[1:]))

    @property
    def reads(self) -> bool:
        """Whether it is an engine that only reads prompts, for the application that its name begins with."""
        return "/" in self.lease

    @property
    def workload(self) -> str:
        """The name of the workload that asks for its devices, wherever they are."""
        return app_workload(self.deployment, self.version, self.settings, self.replica)

    @staticmethod
    def parse(text: str) -> AppName | None:
        """The application that `text` names, or None when it names something else."""
        if not text.startswith(LLM_PREFIX):
            return None
        match text.removeprefix(LLM_PREFIX).split(":"):
            case [deployment, version, settings, replica, lease] if version.isdecimal() and replica.isdecimal():
                return AppName(deployment, int(version), settings, int(replica), lease)
            case _:
                return None


def app_workload(deployment: str, version: int, settings: str, replica: int) -> str:
    return f"{APP_WORKLOAD_PREFIX}{deployment}.{version}.{settings}.{replica}"


@dataclass(frozen=True)
class ReplicaName:
    """The actor of one replica of one shard of a collection; both count from 0, and no replica's number comes twice.

    `life` tells a collection from one of the same name that was deleted before.
    """

    collection: str
    life: str
    shard: int
    replica: int

    def __str__(self) -> str:
        return f"{VECTORS_PREFIX}{self.collection}:{self.life}:{self.shard}:{self.replica}"

    @property
    def workload(self) -> str:
        """The name of the workload that asks for its devices, where it needs some."""
        return f"{VECTORS_WORKLOAD_PREFIX}{self.collection}.{self.life}.{self.shard}.{self.replica}"

    @property
    def directory(self) -> str:
        """Below the directory of all collections."""
        return f"{self.collection}-{self.life}/{self.shard}/{self.replica}"

    @staticmethod
    def parse(text: str) -> ReplicaName | None:
        """The replica that `text` names, or None when it names something else."""
        if not text.startswith(VECTORS_PREFIX):
            return None
        match text.removeprefix(VECTORS_PREFIX).split(":"):
            case [collection, life, shard, replica] if shard.isdecimal() and replica.isdecimal():
                return ReplicaName(collection, life, int(shard), int(replica))
            case _:
                return None
