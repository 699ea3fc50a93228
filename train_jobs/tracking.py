"""The MLflow side of a step: one run per step key, found again after a restart, and its metrics.

The run is found by its tag `biplane.key` and made with that tag in one call, so no crash can leave a run that
a restart would not find. Metrics already there are not sent twice.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # MLflow warns at import where git is not installed

from mlflow import MlflowClient
from mlflow.entities import Metric, ViewType
from mlflow.exceptions import MlflowException

from control.specs.step import StepRequest

logger = logging.getLogger(__name__)

KEY = "biplane.key"
EVERY_S = 2.0
MOST = 1000  # metrics MLflow takes in one call


def ensure_run(client: MlflowClient, request: StepRequest) -> str:
    """The id of the one MLflow run of `request.key`, made if there is none."""
    experiment = client.get_experiment_by_name(request.experiment)
    identity = experiment.experiment_id if experiment else client.create_experiment(request.experiment)
    found = client.search_runs(
        [identity], f"tags.`{KEY}` = {quoted(request.key)}", run_view_type=ViewType.ACTIVE_ONLY, max_results=1
    )
    if found:
        return str(found[0].info.run_id)
    tags = {KEY: request.key, "biplane.run": request.run, "biplane.task": request.task}
    made = client.create_run(identity, run_name=f"{request.run}/{request.task}", tags=tags)
    return str(made.info.run_id)


def quoted(value: str) -> str:
    """`value` as MLflow's filter language writes text; it knows no escapes, only two kinds of quotes."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def log_parameters(client: MlflowClient, run_id: str, values: dict[str, str]) -> None:
    """Records parameters that the run does not have yet."""
    known = client.get_run(run_id).data.params
    for name, value in values.items():
        if name not in known:
            client.log_param(run_id, name, value)


class MetricTail:
    """Sends the lines that training appends to a JSONL file to MLflow, from a thread, until the block ends.

    A line is `{"step": 10, "at": 1760000000.0, "loss": 1.5, …}`, `at` in Unix seconds. Training never waits
    for MLflow: it only appends. A failed send is tried again two seconds later; one that still fails when the
    block ends raises there.
    """

    def __init__(self, client: MlflowClient, run_id: str, path: Path) -> None:
        self._client = client
        self._run_id = run_id
        self._path = path
        self._sent = max((one.step for one in client.get_metric_history(run_id, "loss")), default=0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow-metrics", daemon=True)

    def __enter__(self) -> MetricTail:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._send()

    def _follow(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                self._send()
            except MlflowException as error:
                logger.warning("MLflow took no metrics, trying again: %s", error)

    def _send(self) -> None:
        metrics: list[Metric] = []
        reached = self._sent
        for line in self._whole_lines():
            values: dict[str, float] = json.loads(line)
            step = int(values.pop("step"))
            at = int(values.pop("at") * 1000)
            if step > reached:
                reached = step
                metrics += [Metric(name, value, at, step) for name, value in values.items()]
        for first in range(0, len(metrics), MOST):
            self._client.log_batch(self._run_id, metrics=metrics[first : first + MOST])
        self._sent = reached

    def _whole_lines(self) -> list[str]:
        """The complete lines so far: what follows the last end of line is still being written."""
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1].splitlines()
