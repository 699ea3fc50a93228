"""Which devices `up` declares when a person names none."""

from __future__ import annotations

from pathlib import Path

from control.client import Client
from control.preflight import Refused
from control.specs.cluster import Cluster
from control.specs.load import load_file

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster.local.yaml"
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""Exists where the kernel driver is loaded; `scripts/setup` looks at the same file."""


def declared_cluster(path: Path | None) -> Cluster | None:
    """The Cluster of the file; without a file, the example's on a machine without a GPU.

    None: what was declared last, or the machine's own GPUs. Raises Refused, SpecError, OSError.
    """
    if path is None:
        if NVIDIA_DRIVER.exists() or Client().exists:
            return None
        path = EXAMPLE
    found = [document.spec for document in load_file(path) if isinstance(document.spec, Cluster)]
    if len(found) != 1:
        raise Refused(f"{path} has {len(found)} documents of kind Cluster; expected one")
    return found[0]
