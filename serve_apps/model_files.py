"""Brings a version's files from MLflow to the directory it is served from, once.

The files arrive beside the directory and take its name in one rename: a crash leaves no half of a model under that
name, only a temporary directory that the next call replaces.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def ensure_model_files(path: str, source: str, mlflow_url: str) -> None:
    """After this `path` holds the files of the artifact at `source`. Raises MlflowException when there is none."""
    directory = Path(path)
    if directory.exists():
        return
    from mlflow.artifacts import download_artifacts  # 150 MB that a version which is already here does without

    arriving = directory.with_name(f".{directory.name}.arriving")
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    arrived = Path(download_artifacts(artifact_uri=source, dst_path=str(arriving), tracking_uri=mlflow_url))
    arrived.replace(directory)
    shutil.rmtree(arriving, ignore_errors=True)
