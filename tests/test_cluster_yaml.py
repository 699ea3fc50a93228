"""The file for Ray's own cluster launcher is one that the launcher takes."""

from __future__ import annotations

from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER = Path(__file__).parents[1] / "cluster.yaml"


def test_ray_up_accepts_the_cluster_file() -> None:
    validate_config(prepare_config(yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))))
