"""Every way a document can be wrong is refused with its line, its field and what would be right."""

from __future__ import annotations

import pytest

from tests.control.specs.samples import (
    CLUSTER,
    CLUSTER_POLICY,
    CONFIG_MAP,
    DEPLOYMENT,
    GATEWAY,
    INFERENCE,
    QUEUE,
    STEP_TEMPLATE,
    TIME_SLICING,
    WORKFLOW,
    WORKLOAD,
    broken,
    complaints,
)

WRONG = [
    (
        WORKFLOW,
        "nvidia.com/gpu: 4",
        "gpus: 4",
        (
            "f.yaml:38: spec.templates[train-model].container.resources.limits.gpus: unknown field 'gpus'; "
            "did you mean 'nvidia.com/gpu'?"
        ),
    ),
    (
        WORKFLOW,
        "    - name: train-model\n",
        "    - nam: train-model\n",
        "f.yaml:33: spec.templates[1].nam: unknown field 'nam'; did you mean 'name'?",
    ),
    (
        WORKFLOW,
        "  entrypoint: steps\n",
        "",
        "f.yaml:5: spec.entrypoint: required field is missing",
    ),
    (
        WORKFLOW,
        "dependencies: [data]",
        "dependencies: data",
        "f.yaml:19: spec.templates[steps].dag.tasks[training].dependencies: found 'data'; expected a list",
    ),
    (
        WORKFLOW,
        "name: NCCL_DEBUG",
        "name: [NCCL_DEBUG]",
        "f.yaml:41: spec.templates[train-model].container.env[0].name: found a list; expected text",
    ),
    (
        WORKFLOW,
        "memory: 128Gi",
        "memory: 128Gigs",
        (
            "f.yaml:39: spec.templates[train-model].container.resources.limits.memory: found '128Gigs'; "
            "expected an amount of bytes such as 128Gi, 512Mi, 80GB or a whole number"
        ),
    ),
    (
        WORKFLOW,
        "memory: 128Gi",
        "memory: true",
        (
            "f.yaml:39: spec.templates[train-model].container.resources.limits.memory: found true; expected "
            "an amount of bytes such as 128Gi, 512Mi, 80GB or a whole number"
        ),
    ),
    (
        WORKFLOW,
        "nvidia.com/gpu: 4",
        "nvidia.com/gpu: four",
        (
            'f.yaml:38: spec.templates[train-model].container.resources.limits["nvidia.com/gpu"]: found '
            "'four'; expected a whole number of devices"
        ),
    ),
    (
        WORKFLOW,
        "nvidia.com/gpu: 4",
        "nvidia.com/gpu: -1",
        (
            'f.yaml:38: spec.templates[train-model].container.resources.limits["nvidia.com/gpu"]: found -1; '
            "expected greater than or equal to 0"
        ),
    ),
    (
        WORKFLOW,
        "- name: training",
        "- name: data",
        (
            "f.yaml:17: spec.templates[steps].dag.tasks[1].name: task 'data' is given twice "
            "(spec.templates[steps].dag.tasks[0].name on line 15); expected every name once"
        ),
    ),
    (
        WORKFLOW,
        "    - name: train-model",
        "    - name: steps",
        (
            "f.yaml:33: spec.templates[1].name: template 'steps' is given twice (spec.templates[0].name on "
            "line 12); expected every name once"
        ),
    ),
    (
        WORKFLOW,
        "      container:\n",
        "      dag: {tasks: [{name: a, template: b}]}\n      container:\n",
        (
            "f.yaml:33: spec.templates[train-model]: template 'train-model' has both dag and container; "
            "expected exactly one of dag and container"
        ),
    ),
    (
        WORKFLOW,
        "name: tune",
        "name: Tune_It",
        (
            "f.yaml:4: metadata.name: found 'Tune_It'; expected a name of at most 63 lower-case letters, "
            "digits and dashes, not starting or ending with a dash"
        ),
    ),
    (
        WORKFLOW,
        "kind: Workflow",
        "kind: Workflo",
        "f.yaml:2: kind: unknown kind 'Workflo'; did you mean 'Workflow'?",
    ),
    (
        WORKFLOW,
        "kind: Workflow",
        "kind: [1]",
        (
            "f.yaml:2: kind: unknown kind a list; expected one of Workflow, ConfigMap, ClusterPolicy, "
            "Workload, Deployment, Queue, Cluster, StepTemplate, Collection"
        ),
    ),
    (
        WORKFLOW,
        "kind: Workflow\n",
        "",
        (
            "f.yaml:1: neither a kind nor a known root key; expected kind: Workflow, ConfigMap, "
            "ClusterPolicy, Workload, Deployment, Queue, Cluster, StepTemplate, Collection, or the root key gateway"
        ),
    ),
    (
        WORKFLOW,
        "argoproj.io/v1alpha1",
        "argoproj.io/v1",
        "f.yaml:1: apiVersion: found 'argoproj.io/v1'; did you mean 'argoproj.io/v1alpha1'?",
    ),
    (
        WORKFLOW,
        "apiVersion: argoproj.io/v1alpha1\n",
        "",
        "f.yaml:1: apiVersion: required field is missing; expected 'argoproj.io/v1alpha1'",
    ),
    (
        WORKFLOW,
        "          limits:\n",
        "          requests: {nvidia.com/gpu: 2}\n          limits:\n",
        (
            'f.yaml:37: spec.templates[train-model].container.resources.requests["nvidia.com/gpu"]: 2 '
            "devices requested, 4 the limit "
            '(spec.templates[train-model].container.resources.limits["nvidia.com/gpu"] on line 39); expected '
            "the same number"
        ),
    ),
    (
        WORKFLOW,
        "          limits:\n",
        "          requests: {memory: 1Ti}\n          limits:\n",
        (
            "f.yaml:37: spec.templates[train-model].container.resources.requests.memory: more memory "
            "requested than the limit (spec.templates[train-model].container.resources.limits.memory on line "
            "40); expected at most the limit"
        ),
    ),
    (
        WORKFLOW,
        "  entrypoint: steps\n",
        "  entrypoint: steps\n  entrypoint: other\n",
        "f.yaml:7: key 'entrypoint' is given twice, first on line 6",
    ),
    (
        CONFIG_MAP,
        '"3g.40gb": 1',
        '"3g.40": 1',
        (
            "f.yaml:13: data.mig-config.mig-configs.mixed[0].mig-devices[\"3g.40\"]: found '3g.40'; did you mean "
            "'3g.40gb'?"
        ),
    ),
    (
        CONFIG_MAP,
        '"3g.40gb": 1',
        '"3g.40gb": one',
        (
            "f.yaml:13: data.mig-config.mig-configs.mixed[0].mig-devices[\"3g.40gb\"]: found 'one'; expected a "
            "whole number"
        ),
    ),
    (
        CONFIG_MAP,
        '"3g.40gb": 1',
        '"3g.40gb": [1',
        "f.yaml:14: data.mig-config: broken YAML: expected ',' or ']', but got ':'",
    ),
    (
        CONFIG_MAP,
        "devices: [1, 2]",
        "devices: [1, 0]",
        (
            "f.yaml:15: data.mig-config.mig-configs.mixed[1].devices[1]: device 0 is already cut by this "
            "layout; expected every device once"
        ),
    ),
    (
        CONFIG_MAP,
        "devices: [1, 2]",
        "devices: some",
        (
            "f.yaml:15: data.mig-config.mig-configs.mixed[1].devices: found 'some'; expected a list of "
            "device indexes such as [0, 1], or all"
        ),
    ),
    (
        CONFIG_MAP,
        "devices: [1, 2]",
        "devices: [1, -2]",
        ("f.yaml:15: data.mig-config.mig-configs.mixed[1].devices[1]: found -2; expected a device index: 0 or more"),
    ),
    (
        CONFIG_MAP,
        "devices: [1, 2]",
        "devices: all",
        (
            "f.yaml:15: data.mig-config.mig-configs.mixed[1].devices: 'all' stands beside other devices; "
            "expected all alone"
        ),
    ),
    (
        CONFIG_MAP,
        "mig-enabled: true",
        "mig-enabled: false",
        (
            "f.yaml:12: data.mig-config.mig-configs.mixed[0].mig-devices: slices are listed although "
            "mig-enabled is false; expected mig-enabled: true, or no mig-devices"
        ),
    ),
    (
        CONFIG_MAP,
        "mig-enabled: true",
        "mig-enabled: yes",
        "f.yaml:11: data.mig-config.mig-configs.mixed[0].mig-enabled: found 'yes'; expected true or false",
    ),
    (
        CONFIG_MAP,
        "mig-enabled: true",
        "mig_enable: true",
        (
            "f.yaml:11: data.mig-config.mig-configs.mixed[0].mig_enable: unknown field 'mig_enable'; did you "
            "mean 'mig-enabled'?"
        ),
    ),
    (
        CONFIG_MAP,
        "version: v1\n",
        "version: v1\n    version: v2\n",
        "f.yaml:8: data.mig-config: key 'version' is given twice, first on line 7",
    ),
    (
        CONFIG_MAP,
        "    version: v1\n",
        "    version: v2\n",
        "f.yaml:7: data.mig-config.version: found 'v2'; expected 'v1'",
    ),
    (
        CLUSTER_POLICY,
        "name: critical-inference",
        "name: training",
        (
            "f.yaml:16: spec.scheduling.preemption.priorities[1].name: priority class 'training' is given "
            "twice (spec.scheduling.preemption.priorities[0].name on line 14); expected every name once"
        ),
    ),
    (
        CLUSTER_POLICY,
        "priority: 100",
        "priority: high",
        (
            "f.yaml:17: spec.scheduling.preemption.priorities[critical-inference].priority: found 'high'; "
            "expected a whole number"
        ),
    ),
    (
        CLUSTER_POLICY,
        "enabled: true",
        "enable: true",
        "f.yaml:12: spec.scheduling.preemption.enable: unknown field 'enable'; did you mean 'enabled'?",
    ),
    (
        GATEWAY,
        "weight: 70",
        "weight: 170",
        ("f.yaml:10: gateway.routes[chat].backends[0].weight: found 170; expected less than or equal to 100"),
    ),
    (
        GATEWAY,
        "latency_p99 > 5000ms",
        "latency_p99 > 5000",
        (
            "f.yaml:22: gateway.fallback.triggers[1]: trigger 'latency_p99 > 5000' does not parse: '5000' is "
            "no duration; expected a number with ms or s, such as 5000ms"
        ),
    ),
    (
        GATEWAY,
        "latency_p99 > 5000ms",
        "latency_p9 > 5000ms",
        (
            "f.yaml:22: gateway.fallback.triggers[1]: trigger 'latency_p9 > 5000ms' does not parse: unknown "
            "metric 'latency_p9'; did you mean 'latency_p99'?"
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "error_rate > lots",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'error_rate > lots' does not parse: 'lots' is "
            "no error rate; expected a fraction from 0 to 1"
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "error_rate is high",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'error_rate is high' does not parse; expected "
            "a condition such as error_rate > 0.05"
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "error_rate == 0.05",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'error_rate == 0.05' does not parse: '==' "
            "cannot compare a measurement; expected >, >=, < or <="
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "provider_status != health",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'provider_status != health' does not parse: "
            "unknown status 'health'; did you mean 'healthy'?"
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "provider_status > healthy",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'provider_status > healthy' does not parse: "
            "'>' cannot compare a status; expected == or !="
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "error_rate > 0.05 over 7s",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'error_rate > 0.05 over 7s' does not parse: '7s' is "
            "nothing to measure over; expected 5s to 60s in steps of 5s"
        ),
    ),
    (
        GATEWAY,
        "latency_p99 > 5000ms",
        "latency_p99 > 5000ms over 5m",
        (
            "f.yaml:22: gateway.fallback.triggers[1]: trigger 'latency_p99 > 5000ms over 5m' does not parse: '5m' "
            "is nothing to measure over; expected 5s to 60s in steps of 5s"
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "provider_status != healthy over 30s",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'provider_status != healthy over 30s' does not parse: "
            "a status is of the moment, not over '30s'; expected provider_status != healthy"
        ),
    ),
    (
        GATEWAY,
        "error_rate > 0.05",
        "error_rate > 0.05 30s",
        (
            "f.yaml:21: gateway.fallback.triggers[0]: trigger 'error_rate > 0.05 30s' does not parse; expected "
            "a condition such as error_rate > 0.05"
        ),
    ),
    (
        GATEWAY,
        "- provider: openai",
        "- provider: opnai",
        "f.yaml:8: gateway.routes[chat].backends[0].provider: unknown provider 'opnai'; did you mean 'openai'?",
    ),
    (
        GATEWAY,
        "model: gpt-4o",
        "model: gpt-4o\n          api_key: {env: A, file: /b}",
        "f.yaml:10: gateway.routes[chat].backends[0].api_key: env and file; expected one of them",
    ),
    (
        GATEWAY,
        "chain: [openai, local-vllm]",
        "chain: [openai, local-vlm]",
        (
            "f.yaml:19: gateway.fallback.chain[1]: no backend of any route has provider 'local-vlm'; "
            "did you mean 'local-vllm'?"
        ),
    ),
    (
        GATEWAY,
        "key: api_key",
        "key: apikey",
        "f.yaml:16: gateway.rate_limits[0].key: found 'apikey'; did you mean 'api_key'?",
    ),
    (
        GATEWAY,
        "http://vllm:8000",
        "vllm:8000",
        (
            "f.yaml:14: gateway.routes[chat].backends[1].endpoint: found 'vllm:8000'; expected an address "
            "such as http://host:8000"
        ),
    ),
    (
        GATEWAY,
        "path: /v1/chat/completions",
        "path: v1/chat",
        ("f.yaml:6: gateway.routes[chat].match.path: found 'v1/chat'; expected a path such as /v1/chat/completions"),
    ),
    (
        GATEWAY,
        "gateway:\n",
        "gatway:\n",
        "f.yaml:1: gatway: unknown field 'gatway'; did you mean 'gateway'?",
    ),
    (
        GATEWAY,
        "  rate_limits:\n",
        "  rate_limit:\n",
        "f.yaml:15: gateway.rate_limit: unknown field 'rate_limit'; did you mean 'rate_limits'?",
    ),
    (
        WORKLOAD,
        "type: training",
        "type: trainin",
        "f.yaml:6: spec.type: found 'trainin'; did you mean 'training'?",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices: '2'",
        "f.yaml:7: spec.devices: found '2'; expected a whole number",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices: 2.5",
        "f.yaml:7: spec.devices: found 2.5; expected a whole number",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices:",
        "f.yaml:7: spec.devices: found nothing; expected a whole number",
    ),
    (
        DEPLOYMENT,
        "version: 3",
        "version: newest",
        "f.yaml:7: spec.version: found 'newest'; expected a version number, 1 or more, or latest",
    ),
    (
        DEPLOYMENT,
        "model: llama",
        "model: ''",
        "f.yaml:6: spec.model: found ''; expected some text",
    ),
    (
        CLUSTER,
        "simulated: true",
        "simulated: false",
        (
            "f.yaml:8: spec.nodes[one].simulated: found false; expected true: only simulated nodes are "
            "declared, real devices are discovered"
        ),
    ),
    (
        CLUSTER,
        "interconnect: nvlink",
        "interconnect: nv-link",
        "f.yaml:12: spec.nodes[one].interconnect: found 'nv-link'; did you mean 'nvlink'?",
    ),
    (
        CLUSTER,
        "gateway: 0",
        "gateway: 5001",
        "f.yaml:16: spec.ports.mlflow: port 5001 is also the gateway's; expected different ports",
    ),
    (
        CLUSTER,
        "gateway: 0",
        "gateway: 70000",
        "f.yaml:15: spec.ports.gateway: found 70000; expected less than or equal to 65535",
    ),
    (
        CLUSTER,
        "  ports:\n",
        "    - {name: one, simulated: true, gpus: 1, gpu_model: A, gpu_memory: 1, interconnect: pcie, "
        "memory: 1}\n  ports:\n",
        (
            "f.yaml:14: spec.nodes[1].name: node 'one' is given twice (spec.nodes[0].name on line 7); expected "
            "every name once"
        ),
    ),
    (
        CONFIG_MAP,
        "  mig-config: |",
        "  mig-confg: |",
        "f.yaml:6: data.mig-confg: MIG layouts under 'mig-confg'; did you mean 'mig-config'?",
    ),
    (
        TIME_SLICING,
        "replicas: 4",
        "replicas: 0",
        (
            "f.yaml:16: data.sharing.sharing.timeSlicing.resources[0].replicas: found 0; expected greater than or "
            "equal to 1"
        ),
    ),
    (
        TIME_SLICING,
        "replicas: 4",
        "replica: 4",
        (
            "f.yaml:16: data.sharing.sharing.timeSlicing.resources[0].replica: unknown field 'replica'; did you mean "
            "'replicas'?"
        ),
    ),
    (
        TIME_SLICING,
        "name: nvidia.com/gpu",
        "name: nvidia.com/mig-1g.10gb",
        (
            "f.yaml:15: data.sharing.sharing.timeSlicing.resources[0].name: found 'nvidia.com/mig-1g.10gb'; expected "
            "nvidia.com/gpu: a MIG slice is given to one workload at a time"
        ),
    ),
    (
        TIME_SLICING,
        "version: v1\n    flags",
        "version: v2\n    flags",
        "f.yaml:7: data.sharing.version: found 'v2'; expected 'v1'",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices: true",
        "f.yaml:7: spec.devices: found true; expected a whole number",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices: 8\n  least: 9",
        "f.yaml:8: spec.least: at least 9 of 8 devices; expected 1 to 8",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices: 8\n  least: 1.5",
        "f.yaml:8: spec.least: found 1.5; expected a whole number",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "slice: 1g.10gb",
        "f.yaml:7: spec.slice: MIG slices cannot join a gang; expected whole devices for training",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices: 2\n  replicas: 2",
        "f.yaml:8: spec.replicas: replicas for training; expected it only for inference",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "span: rak",
        "f.yaml:7: spec.span: found 'rak'; did you mean 'rack'?",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "duration: soon",
        ("f.yaml:7: spec.duration: found 'soon'; expected a time such as 2h, 1h30m, 90s, 500ms or a number of seconds"),
    ),
    (
        WORKLOAD,
        "devices: 2",
        "duration: 0s",
        "f.yaml:7: spec.duration: found '0s'; expected greater than 0",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "share: 1.5",
        "f.yaml:7: spec.share: found 1.5; expected less than 1",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "share: 0.5",
        (
            "f.yaml:7: spec.share: a share of a device without device_memory; expected how much of the device's "
            "memory it takes"
        ),
    ),
    (
        WORKLOAD,
        "devices: 2",
        "devices: 2\n  share: 0.5\n  device_memory: 8Gi",
        "f.yaml:8: spec.share: share with 2 devices; expected one device for each replica",
    ),
    (
        WORKLOAD,
        "devices: 2",
        "latency_ms: 20",
        "f.yaml:7: spec.latency_ms: latency_ms for training; expected it only for inference",
    ),
    (
        INFERENCE,
        "devices: 2",
        "devices: 3",
        (
            "f.yaml:7: spec.devices: 3 devices for 2 replicas (spec.replicas on line 8); expected as many for each "
            "replica"
        ),
    ),
    (
        INFERENCE,
        "devices: 2",
        "devices: 4",
        "f.yaml:12: spec.profiles: profiles with 2 devices; expected one device for each replica",
    ),
    (
        INFERENCE,
        "  latency_ms: 200\n",
        "",
        "f.yaml:11: spec.profiles: profiles without a latency to keep; expected latency_ms beside it",
    ),
    (
        INFERENCE,
        "queue: product",
        "slice: 1g.10gb",
        (
            "f.yaml:12: spec.profiles: slice and profiles are given together (spec.slice on line 9); expected one of "
            "them"
        ),
    ),
    (
        INFERENCE,
        "queue: product",
        "span: cluster",
        "f.yaml:9: spec.span: a span beyond the node for inference; expected node: only training is a gang",
    ),
    (
        INFERENCE,
        "slice: 2g.20gb",
        "slice: 1g.10gb",
        "f.yaml:17: spec.profiles[1]: '1g.10gb' is described twice; expected every slice once",
    ),
    (
        INFERENCE,
        "slice: 2g.20gb",
        "slice: 2g.20",
        "f.yaml:17: spec.profiles[1].slice: found '2g.20'; did you mean '2g.20gb'?",
    ),
    (
        INFERENCE,
        "latency_ms: 90.5",
        "latency_ms: 0",
        "f.yaml:18: spec.profiles[1].latency_ms: found 0; expected greater than 0",
    ),
    (
        DEPLOYMENT,
        "version: 3",
        "devices: 2\n  slice: 1g.10gb",
        "f.yaml:8: spec.slice: slice with 2 devices; expected one device for each replica",
    ),
    (
        DEPLOYMENT,
        "version: 3",
        "replicas: 3\n  autoscaling: {min: 1, max: 2}",
        (
            "f.yaml:7: spec.replicas: replicas 3 beside autoscaling (spec.autoscaling on line 8); expected one of "
            "them, such as autoscaling with min: 2"
        ),
    ),
    (
        DEPLOYMENT,
        "version: 3",
        "adapters: [{name: law, model: law}, {name: law, model: tax}]",
        (
            "f.yaml:7: spec.adapters[1].name: adapter 'law' is given twice (spec.adapters[0].name on line 7); "
            "expected every name once"
        ),
    ),
    (
        DEPLOYMENT,
        "version: 3",
        "affinity: prefixes",
        "f.yaml:7: spec.affinity: found 'prefixes'; did you mean 'prefix'?",
    ),
    (
        DEPLOYMENT,
        "version: 3",
        "devices: 900000\n  replicas: 2",
        "f.yaml:7: spec.devices: 1800000 over 2 replicas; expected less than or equal to 1000000",
    ),
    (
        DEPLOYMENT,
        "version: 3",
        "memory: 7Ei\n  replicas: 2",
        (
            "f.yaml:7: spec.memory: 16140901064495857664 over 2 replicas; expected an amount of bytes such as 128Gi, "
            "512Mi, 80GB or a whole number"
        ),
    ),
    (
        QUEUE,
        "quota: 8",
        "quota: -8",
        "f.yaml:6: spec.quota: found -8; expected greater than or equal to 0",
    ),
    (
        QUEUE,
        "quota: 8",
        "quota: 0.5",
        "f.yaml:6: spec.quota: found 0.5; expected a whole number",
    ),
    (
        QUEUE,
        "  parent: org\n  borrow: 4\n",
        "",
        "f.yaml:7: spec.lend: a queue without a parent has nobody to lend to; expected a parent",
    ),
    (
        QUEUE,
        "weight: 1.5",
        "weight: 0",
        "f.yaml:10: spec.weight: found 0; expected greater than 0",
    ),
    (
        CLUSTER,
        "gpus: 4",
        "gpus: -1",
        "f.yaml:9: spec.nodes[one].gpus: found -1; expected greater than or equal to 0",
    ),
    (
        CLUSTER,
        "gpus: 4",
        "gpus: 4\n      count: 1001",
        "f.yaml:10: spec.nodes[one].count: found 1001; expected less than or equal to 1000",
    ),
    (
        CLUSTER,
        "  ports:\n",
        "    - {name: two, count: 1000, simulated: true, gpus: 1, gpu_model: A, gpu_memory: 1, interconnect: pcie, "
        "memory: 1}\n  ports:\n",
        "f.yaml:6: spec.nodes: found 1001 nodes; expected at most 1000",
    ),
    (
        CLUSTER,
        "gpus: 4",
        "gpus: 4\n      labels: {biplane.io/mig: sometimes}",
        "f.yaml:10: spec.nodes[one].labels[\"biplane.io/mig\"]: found 'sometimes'; did you mean 'dynamic'?",
    ),
    (
        CLUSTER,
        "gpus: 4",
        "gpus: 4\n      labels: {biplane.io/mgi: dynamic}",
        "f.yaml:10: spec.nodes[one].labels[\"biplane.io/mgi\"]: label 'biplane.io/mgi'; did you mean 'biplane.io/mig'?",
    ),
    (
        CLUSTER,
        "gpus: 4",
        "gpus: 4\n      labels: {ray.io/node-id: x}",
        (
            "f.yaml:10: spec.nodes[one].labels[\"ray.io/node-id\"]: label 'ray.io/node-id'; expected another prefix: "
            "Ray sets those of ray.io/ itself"
        ),
    ),
    (
        CLUSTER,
        "gpus: 4",
        "gpus: 4\n      labels: {zone: a b}",
        (
            "f.yaml:10: spec.nodes[one].labels.zone: label 'zone': 'a b'; expected at most 63 letters, digits, '-', "
            "'_' and '.'; the key may have a prefix and a slash"
        ),
    ),
    (
        CLUSTER,
        "gpus: 4",
        "gpus: 4\n      labels: {biplane.io/mig: dynamic, nvidia.com/mig.config: mixed}",
        (
            'f.yaml:10: spec.nodes[one].labels["biplane.io/mig"]: the node is cut by a layout and on demand '
            '(spec.nodes[one].labels["nvidia.com/mig.config"] on line 10); expected one of the two labels'
        ),
    ),
    (
        STEP_TEMPLATE,
        "my_steps.clean:main",
        "my_steps.clean",
        ("f.yaml:6: spec.entrypoint: found 'my_steps.clean'; expected module:function, such as my_steps.clean:main"),
    ),
    (
        STEP_TEMPLATE,
        "name: fraction",
        "name: dataset-dir",
        (
            "f.yaml:10: spec.parameters[1].name: parameter 'dataset-dir' is given twice "
            "(spec.parameters[0].name on line 8); expected every name once"
        ),
    ),
    (
        STEP_TEMPLATE,
        "[cleaned]",
        "[cleaned, cleaned]",
        "f.yaml:12: spec.outputs[1]: output 'cleaned' is listed twice; expected every name once",
    ),
    (
        GATEWAY,
        "chain: [openai, local-vllm]",
        "chain: []",
        "f.yaml:19: gateway.fallback.chain: nothing is listed; expected at least one",
    ),
    (
        GATEWAY,
        "      requests_per_minute: 60\n",
        "",
        (
            "f.yaml:16: gateway.rate_limits[0]: nothing is limited; expected one of requests_per_minute, "
            "tokens_per_minute, cost_per_day"
        ),
    ),
    (
        GATEWAY,
        "requests_per_minute: 60\n",
        "requests_per_minute: 60\n    - {key: api_key, tokens_per_minute: 9}\n",
        (
            "f.yaml:18: gateway.rate_limits[1].key: 'api_key' is limited twice (gateway.rate_limits[0].key on line "
            "16); expected one limit for each key"
        ),
    ),
    (
        GATEWAY,
        "requests_per_minute: 60",
        "requests_per_minute: 0",
        "f.yaml:17: gateway.rate_limits[0].requests_per_minute: found 0; expected greater than or equal to 1",
    ),
    (
        GATEWAY,
        "requests_per_minute: 60",
        "cost_per_day: -1",
        "f.yaml:17: gateway.rate_limits[0].cost_per_day: found -1; expected greater than or equal to 0",
    ),
    (
        GATEWAY,
        "  rate_limits:\n",
        "  prices:\n"
        "    - {provider: openai, model: gpt-4o, input: 1, output: 2}\n"
        "    - {provider: openai, model: gpt-4o, input: 3, output: 4}\n"
        "  rate_limits:\n",
        (
            "f.yaml:17: gateway.prices[1].model: openai/gpt-4o has two prices (gateway.prices[0].model on line 16); "
            "expected one price for each model"
        ),
    ),
    (
        GATEWAY,
        "  rate_limits:\n",
        "  prices: [{provider: openai, model: gpt-4o, input: 0.0125, output: 2}]\n  rate_limits:\n",
        (
            "f.yaml:15: gateway.prices[0].input: found 0.0125; expected dollars per million tokens with at most three "
            "decimals"
        ),
    ),
    (
        GATEWAY,
        "          endpoint: http://vllm:8000\n",
        "          endpoint: http://vllm:8000\n        - {provider: openai, model: gpt-4o, weight: 5}\n",
        (
            "f.yaml:15: gateway.routes[chat].backends[2].model: openai/gpt-4o is listed twice "
            "(gateway.routes[chat].backends[0].model on line 9); expected every backend once, with one weight and one "
            "budget"
        ),
    ),
    (
        WORKFLOW,
        "      - name: rate\n        value: 0.10",
        "      {}",
        "f.yaml:8: spec.arguments.parameters: found a mapping; expected a list",
    ),
]


@pytest.mark.parametrize(("text", "old", "new", "message"), WRONG, ids=[f"{new!r}" for _, _, new, _ in WRONG])
def test_a_wrong_field_is_refused_by_line(text: str, old: str, new: str, message: str) -> None:
    assert complaints(broken(text, old, new)) == [message]


def test_several_wrong_fields_are_all_told_in_the_order_of_the_file() -> None:
    text = broken(broken(WORKLOAD, "devices: 2", "devices: two"), "name: job", "name: Job")
    assert [message.split(": ")[0] for message in complaints(text)] == ["f.yaml:4", "f.yaml:7"]
