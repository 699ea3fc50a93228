"""A plane in which the router has versions and deployments to work with, and no pipeline."""

from __future__ import annotations

from tests.fakes.plane import Plane

DOMAINS = ("scheduler", "registry", "router", "gateway")


def deployment(version: int | str = "latest", replicas: int = 1, devices: int = 1, length: int = 256) -> str:
    return f"""\
apiVersion: biplane/v1
kind: Deployment
metadata:
  name: chat
spec:
  model: chat
  version: {version}
  replicas: {replicas}
  devices: {devices}
  engine:
    max_model_len: {length}
"""


def plane_with(versions: int, *documents: str) -> Plane:
    plane = Plane()
    for number in range(versions):
        plane.mlflow.register("chat", f"key-{number}")
    for document in documents:
        plane.apply(document)
    return plane


def status(plane: Plane) -> dict[str, object]:
    return dict(plane.only("Deployment").status)


def phase(plane: Plane) -> tuple[object, object]:
    found = status(plane)
    return found["phase"], found["reason"]


def serving(plane: Plane) -> list[int]:
    return [arm["version"] for arm in plane.only("Deployment").status.get("arms", ())]


def workloads(plane: Plane) -> list[str]:
    return sorted(o.name for o in plane.store.list("Workload"))
