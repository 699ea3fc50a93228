"""The roof: brings the plane up, or finds it and brings back what is missing.

`up` is the same whether nothing runs, something died, or everything is well: each part is looked at and started
when it is missing. Taking it down is ending its processes (`kernel/recover.py`): goals, models and runs stay, and the
next `up` goes on with them.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass

import ray
from ray import serve

from control.gateway.ledger.ledger import LedgerActor
from control.kernel.actor import ControlActor
from control.kernel.home import LOOPBACK, Home, Settings
from control.kernel.ids import DOMAINS, LEDGER, NAMESPACE, control_name
from control.kernel.plan import PutSpec
from control.kernel.recover import processes_of
from control.kernel.store import Store
from control.keys import ensure_api_key, ensure_secrets
from control.plane_store import open_store
from control.preflight import check_state_directory, choose_port, exclusive
from control.services import (
    gateway_answers,
    mlflow_answers,
    ray_is_up,
    start_mlflow,
    start_ray,
    wait_for_gateway,
    wait_for_mlflow,
)
from control.simulated_nodes import check_head, ensure_nodes
from control.specs.cluster import Cluster, Ports

GATEWAY_SECONDS = 180.0
AGAIN_SECONDS = 20.0
"""How long a gateway on a Ray that looks well may stay silent before Ray is started again."""
HTTP_TIMEOUT_SECONDS = 600.0
INNER_PORTS = ("agent_port", "client_port", "haproxy_metrics_port", "haproxy_stats_port", "serve_port")

Report = Callable[[str], None]
"""Told of each part as it comes up, in words."""


@dataclass(frozen=True)
class Up:
    """What `up` came to. `new_api_key` is set only the first time; `started` names what was not running."""

    settings: Settings
    new_api_key: str | None
    started: tuple[str, ...]


def up(home: Home, cluster: Cluster | None, report: Report, store_url: str | None = None) -> Up:
    """Bring the plane up on `home`; `cluster` None means what was declared last, or this machine's own GPUs.

    `store_url` None means the store that was chosen last, or the SQLite file in `home`. Raises Refused or StoreError
    before anything is started when the state or a port cannot be had.
    """
    check_state_directory(home)
    with exclusive(home):
        store = open_store(home, store_url)
        declared = _declared(store)
        cluster = cluster or declared
        settings = _settings(home, cluster)
        ensure_secrets(home)
        healthy = ray_is_up(home, settings)
        if cluster is not None:
            if healthy:
                check_head(declared, cluster)
            _declare(store, cluster)
        head, others = (None, ()) if cluster is None else (cluster.spec.nodes[0], cluster.spec.nodes[1:])
        started = []
        if not mlflow_answers(settings):
            report("MLflow server")
            started.append("mlflow")
            start_mlflow(home, settings)
        if not healthy:
            report("Ray" if head is None else f"Ray, with simulated node {head.name}")
            started.append("ray")
            start_ray(home, settings, head)
        started += ensure_nodes(home, settings, others, report)
        wait_for_mlflow(home, settings)
        started += _ensure_control(home, settings, report)
        if healthy and not gateway_answers(settings, AGAIN_SECONDS):
            report("Ray again: the gateway does not answer")
            started.append("ray")
            start_ray(home, settings, head)
            started += ensure_nodes(home, settings, others, report)
            started += _ensure_control(home, settings, report)
        wait_for_gateway(settings, GATEWAY_SECONDS)
        # Last, so that the key that is shown once belongs to a plane that answers.
        return Up(settings, ensure_api_key(home, store, now=time.time()), tuple(started))


def _declare(store: Store, cluster: Cluster) -> None:
    spec = cluster.model_dump(mode="json")
    change = PutSpec(kind="Cluster", name=cluster.name, event="Declared", reason="biplane up", spec=spec)
    store.commit((change,), who="plane", now=time.time())


def _ensure_control(home: Home, settings: Settings, report: Report) -> list[str]:
    """Serve and the control actors; which actors were made now. The gateway follows: its control actor asks for it."""
    made = []
    with connected(home, settings):
        report("Serve")
        serve.start(
            proxy_location="HeadOnly",
            http_options={
                "host": LOOPBACK,
                "port": settings.serve_port,
                "request_timeout_s": HTTP_TIMEOUT_SECONDS,
            },
        )
        for name in (*DOMAINS, LEDGER):
            if _ensure_actor(name):
                report(f"control actor {name}")
                made.append(name)
    report("gateway")
    return made


@contextmanager
def connected(home: Home, settings: Settings) -> Iterator[None]:
    """This process as a driver of the plane's Ray. `home.environment` must have been set before Ray was imported."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    with redirect_stdout(sys.stderr):  # Ray's words, such as how many workers it has: a command's own are its answer
        ray.init(address=settings.ray_address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
        try:
            yield
        finally:
            ray.shutdown()


def _declared(store: Store) -> Cluster | None:
    found = store.list("Cluster")
    return Cluster.model_validate(found[-1].spec) if found else None


def _settings(home: Home, cluster: Cluster | None) -> Settings:
    """The ports of the plane that runs or ran here where they still fit the declaration, else free ones."""
    ports = Ports() if cluster is None else cluster.spec.ports
    name = "" if cluster is None else cluster.name
    old = Settings.read(home)

    last = {} if old is None else asdict(old)
    running = bool(processes_of(home.plane_id))
    wanted = {
        "gateway_port": ports.gateway,
        "dashboard_port": ports.dashboard,
        "mlflow_port": ports.mlflow,
        "ray_port": ports.ray,
        **dict.fromkeys(INNER_PORTS, 0),
    }
    chosen = {
        what: last[what]
        if running and what in last and port in (0, last[what])
        else choose_port(what.replace("_", " "), port, home.plane_id)
        for what, port in wanted.items()
    }
    settings = Settings(cluster=name, **chosen)
    settings.write(home)
    return settings


def _ensure_actor(what: str) -> bool:
    """The control actor of a domain, or the ledger, exists and runs; True when it was made now."""
    name = control_name(what)
    hosted, arguments = (LedgerActor, ()) if what == LEDGER else (ControlActor, (f"control.{what}.actor:wire",))
    try:
        actor = ray.get_actor(name, namespace=NAMESPACE)
        made = False
    except ValueError:
        made = True
        actor = (
            ray.remote(hosted)
            .options(
                name=name,
                namespace=NAMESPACE,
                lifetime="detached",
                max_restarts=-1,
                max_task_retries=-1,
                num_cpus=0,
                resources={"node:__internal_head__": 0.001},
            )
            .remote(*arguments)
        )
    ray.get(actor.pid.remote(), timeout=120)
    return made
