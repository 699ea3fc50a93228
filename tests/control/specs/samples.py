"""Files that are right, for tests that break them in one place; and where the mission's own files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from control.specs.load import load_text
from control.specs.problem import SpecError

_ROOT = Path(__file__).resolve().parents[3]
MISSION = Path(os.environ.get("BIPLANE_MISSION", str(_ROOT.parent / "shared" / "mission")))
MISSION_FILES = ("pipeline.yaml", "gpu-policy.yaml", "gateway.yaml")

WORKFLOW = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: tune
spec:
  entrypoint: steps
  arguments:
    parameters:
      - name: rate
        value: 0.10
  templates:
    - name: steps
      dag:
        tasks:
          - name: data
            template: preprocess
          - name: training
            template: train-model
            dependencies: [data]
            arguments:
              parameters:
                - name: learning-rate
                  value: "{{workflow.parameters.rate}}"
                - name: gpu-count
                  value: 4
          - name: evaluation
            template: evaluate
            dependencies: [training]
          - name: deployment
            template: deploy-model
            dependencies: [evaluation]
            when: "{{tasks.evaluation.outputs.parameters.accuracy}} > 0.85"
    - name: train-model
      container:
        image: worker:v1
        resources:
          limits:
            nvidia.com/gpu: 4
            memory: 128Gi
        env:
          - name: NCCL_DEBUG
            value: INFO
"""

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: layouts
data:
  mig-config: |
    version: v1
    mig-configs:
      mixed:
        - devices: [0]
          mig-enabled: true
          mig-devices:
            "3g.40gb": 1
            "1g.10gb": 2
        - devices: [1, 2]
          mig-enabled: false
"""

TIME_SLICING = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: slicing
data:
  sharing: |-
    version: v1
    flags:
      migStrategy: none
    sharing:
      timeSlicing:
        renameByDefault: false
        failRequestsGreaterThanOne: true
        resources:
          - name: nvidia.com/gpu
            replicas: 4
"""

CLUSTER_POLICY = """\
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata:
  name: policy
spec:
  devicePlugin:
    config:
      name: slicing
      default: sharing
  scheduling:
    preemption:
      enabled: true
      priorities:
        - name: training
          priority: 50
        - name: critical-inference
          priority: 100
"""

GATEWAY = """\
gateway:
  name: front
  routes:
    - name: chat
      match:
        path: /v1/chat/completions
      backends:
        - provider: openai
          model: gpt-4o
          weight: 70
        - provider: local-vllm
          model: llama
          weight: 30
          endpoint: http://vllm:8000
  rate_limits:
    - key: api_key
      requests_per_minute: 60
  fallback:
    chain: [openai, local-vllm]
    triggers:
      - error_rate > 0.05
      - latency_p99 > 5000ms
  connections:
    pool_size: 10
"""

WORKLOAD = """\
apiVersion: biplane/v1
kind: Workload
metadata:
  name: job
spec:
  type: training
  devices: 2
  memory: 1Gi
"""

INFERENCE = """\
apiVersion: biplane/v1
kind: Workload
metadata:
  name: chat
spec:
  type: inference
  devices: 2
  replicas: 2
  queue: product
  latency_ms: 200
  requests_per_second: 40
  profiles:
    - slice: 1g.10gb
      latency_ms: 150
      requests_per_second: 8
      memory: 6Gi
    - slice: 2g.20gb
      latency_ms: 90.5
      requests_per_second: 25
      memory: 6Gi
"""

DEPLOYMENT = """\
apiVersion: biplane/v1
kind: Deployment
metadata:
  name: chat
spec:
  model: llama
  version: 3
  engine:
    max_model_len: 256
    flags: [true, null, 0.5]
"""

CLUSTER = """\
apiVersion: biplane/v1
kind: Cluster
metadata:
  name: local
spec:
  nodes:
    - name: one
      simulated: true
      gpus: 4
      gpu_model: A100
      gpu_memory: 80GB
      interconnect: nvlink
      memory: 256Gi
  ports:
    gateway: 0
    mlflow: 5001
"""

QUEUE = """\
apiVersion: biplane/v1
kind: Queue
metadata:
  name: research
spec:
  quota: 8
  parent: org
  borrow: 4
  lend: 2
  weight: 1.5
"""

STEP_TEMPLATE = """\
apiVersion: biplane/v1
kind: StepTemplate
metadata:
  name: clean
spec:
  entrypoint: my_steps.clean:main
  parameters:
    - name: dataset-dir
      upstream: true
    - name: fraction
      default: 0.10
  outputs: [cleaned]
"""


def broken(text: str, old: str, new: str) -> str:
    """The text with its one `old` replaced."""
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)


def complaints(text: str) -> list[str]:
    """The messages with which a file named f.yaml is refused."""
    with pytest.raises(SpecError) as raised:
        load_text(text, "f.yaml")
    return [str(problem) for problem in raised.value.problems]
